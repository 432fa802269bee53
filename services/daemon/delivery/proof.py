"""Proof of content: what is to be pushed holds what every step did, or names where it doesn't."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.daemon.delivery.merging import Tip
from services.daemon.git import git
from shared.domain.delivery import Strategy

MOST_NAMED = 20


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
    missing = await git(repository, "rev-list", "--max-count=1", *(t.commit for t in tips), "--not", head)
    if not missing.strip():
        return
    for tip in tips:
        names = await git(repository, "log", "--format=", "--name-only", "-z", tip.commit, "--not", head)
        if files := sorted({n.strip() for n in names.split("\0") if n.strip()}):
            raise ContentMissing(f"the merged result lacks commits of {tip.branch}, which change {_named(files)}")
    raise ContentMissing("the merged result lacks commits that change no file")


async def _prove_net_diffs(repository: Path, begin: Tip, tips: Sequence[Tip], head: str) -> None:
    """Every file that a tip changed is as it left it, unless another tip or the base changed it, too."""
    changes = {tip.branch: await _net_diff(repository, begin.commit, tip.commit) for tip in tips}
    blobs = await _raw(repository, begin.commit, head)
    for tip in tips:
        lacking = []
        for file, blob in changes[tip.branch].items():
            others = [
                c[file] for branch, c in changes.items() if branch != tip.branch and file in c and c[file] != blob
            ]
            moved_on = others or file in await _moved_base(repository, begin.commit, tip.commit)
            became = blobs.get(file)
            if became != blob and not moved_on and not await _same(repository, begin.commit, file, blob, became):
                lacking.append(file)
        if lacking:
            raise ContentMissing(f"the merged result lacks what {tip.branch} did to {_named(lacking)}")


async def _net_diff(repository: Path, begin: str, commit: str) -> dict[str, str]:
    base = (await git(repository, "merge-base", begin, commit)).strip()
    return await _raw(repository, base, commit)


async def _moved_base(repository: Path, begin: str, commit: str) -> dict[str, str]:
    base = (await git(repository, "merge-base", begin, commit)).strip()
    return {} if base == begin else await _raw(repository, base, begin)


async def _same(repository: Path, begin: str, file: str, blob: str, became: str | None) -> bool:
    """Whether a file that the result doesn't change against its beginning is already as the step left it."""
    if became is not None:
        return False
    out = await git(repository, "ls-tree", "-z", begin, "--", file)
    fields = out.split("\0")[0].partition("\t")[0].split()
    return (f"{fields[0]} {fields[2]}" if fields else _GONE) == blob


_GONE = "000000 " + "0" * 40


async def _raw(repository: Path, before: str, after: str) -> dict[str, str]:
    """The files that differ, each with the mode and blob that it has after."""
    out = await git(repository, "diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", before, after)
    parts = out.split("\0")
    found = {}
    for meta, file in zip(parts[0::2], parts[1::2], strict=False):
        fields = meta.split()
        found[file] = f"{fields[1]} {fields[3]}"
    return found


def _named(files: Sequence[str]) -> str:
    more = f" and {len(files) - MOST_NAMED} more" if len(files) > MOST_NAMED else ""
    return ", ".join(files[:MOST_NAMED]) + more
