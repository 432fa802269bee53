"""Proof of content: what is to be pushed holds what every step did, or names where it doesn't."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.daemon.git.command import git, names, readable
from services.daemon.git.merging import Tip, holds
from shared.domain.delivery import Strategy

MAX_NAMED = 20


class ContentMissing(RuntimeError):
    """Something that a step did is not in the result. Files are named."""


async def prove(repository: Path, begin: Tip, tips: Sequence[Tip], head: str, strategy: Strategy) -> None:
    """Every step is in `head`. Raises ContentMissing."""
    if strategy == "merge":
        await _prove_commits(repository, (begin, *tips), head)
    else:
        await _prove_net_diffs(repository, begin, tips, head)


async def _prove_commits(repository: Path, tips: Sequence[Tip], head: str) -> None:
    """Every commit of every tip is reachable from the result."""
    apart = await git(repository, "merge-base", "--independent", head, *(t.commit for t in tips))
    if apart.split() == [head]:  # unlike a walk by dates, this is right whatever clocks the commits were made by
        return
    for tip in tips:
        if await holds(repository, head, tip.commit):
            continue
        log = await names(repository, "log", "--format=", "--name-only", "-z", tip.commit, "--not", head)
        if files := sorted({name.strip("\n") for name in log}):
            raise ContentMissing(f"the merged result lacks commits of {tip.branch}, which change {_named(files)}")
    raise ContentMissing("the merged result lacks commits that change no file")


async def _prove_net_diffs(repository: Path, begin: Tip, tips: Sequence[Tip], head: str) -> None:
    """Every file that a tip changed is as it left it, unless another tip or the base changed it, too."""
    changes = {tip.branch: await _net_diff(repository, begin.commit, tip.commit) for tip in tips}
    blobs = await _raw(repository, begin.commit, head)
    for tip in tips:
        lacking = []
        for file, blob in changes[tip.branch].items():
            became = blobs.get(file)
            if became == blob or await _same(repository, begin.commit, file, blob, became):
                continue
            names_of_it = {file, *await _renamed_from(repository, begin.commit, tip.commit, file)}
            others = [c for branch, c in changes.items() if branch != tip.branch]
            others.append(await _moved_base(repository, begin.commit, tip.commit))
            if not any(c[name] != blob for c in others for name in names_of_it & c.keys()):
                lacking.append(file)
        if lacking:
            raise ContentMissing(f"the merged result lacks what {tip.branch} did to {_named(lacking)}")


async def _net_diff(repository: Path, begin: str, commit: str) -> dict[str, str]:
    base = (await git(repository, "merge-base", begin, commit)).strip()
    return await _raw(repository, base, commit)


async def _renamed_from(repository: Path, begin: str, commit: str, file: str) -> list[str]:
    """The name that a tip's file had before, where the tip renamed it: others may have changed it under that."""
    base = (await git(repository, "merge-base", begin, commit)).strip()
    parts = await names(repository, "diff-tree", "-r", "-z", "-M", "--name-status", "--diff-filter=R", base, commit)
    return [old for old, new in zip(parts[1::3], parts[2::3], strict=True) if new == file]


async def _moved_base(repository: Path, begin: str, commit: str) -> dict[str, str]:
    base = (await git(repository, "merge-base", begin, commit)).strip()
    return {} if base == begin else await _raw(repository, base, begin)


async def _same(repository: Path, begin: str, file: str, blob: str, became: str | None) -> bool:
    """Whether a file that the result doesn't change against its beginning is already as the step left it."""
    if became is not None:
        return False
    out = await git(repository, "ls-tree", "-z", begin, "--", f":(literal){file}")
    fields = out.split("\0")[0].partition("\t")[0].split()
    return (f"{fields[0]} {fields[2]}" if fields else _GONE) == blob


_GONE = "000000 " + "0" * 40


async def _raw(repository: Path, before: str, after: str) -> dict[str, str]:
    """The files that differ, each with the mode and blob that it has after."""
    parts = await names(repository, "diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", before, after)
    found = {}
    for meta, file in zip(parts[0::2], parts[1::2], strict=False):
        fields = meta.split()
        found[file] = f"{fields[1]} {fields[3]}"
    return found


def _named(files: Sequence[str]) -> str:
    more = f" and {len(files) - MAX_NAMED} more" if len(files) > MAX_NAMED else ""
    return readable(", ".join(files[:MAX_NAMED])) + more
