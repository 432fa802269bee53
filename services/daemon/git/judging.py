"""Whether a commit resolves a conflict: what of either side it dropped, and markers that it left. By commits alone."""

from __future__ import annotations

from pathlib import Path

from services.daemon.git.command import GitError, git, names, readable
from services.daemon.git.merging import MergeConflict, merge_tree
from services.daemon.git.pointers import LONGEST, parse

DROPPED = "Dropped:"
"""Starts a line of the merge commit's message that says that a side of a file was dropped on purpose."""
_GONE = "0" * 40


async def problems(repository: Path, conflict: MergeConflict, commit: str) -> list[str]:
    """What is wrong with a commit that resolves a conflict, in words."""
    return [*await _markers(repository, conflict, commit), *await _dropped(repository, conflict, commit)]


async def _markers(repository: Path, conflict: MergeConflict, resolved: str) -> list[str]:
    async def marked(commit: str) -> set[str]:
        try:
            found = await names(
                repository, "grep", "-z", "-l", "-I", "-e", "^<<<<<<< ", "-e", "^>>>>>>> ", commit, "--", *paths
            )
        except GitError as error:
            if error.code == 1 and not error.out:
                return set()
            raise
        return {name.partition(":")[2] for name in found}

    paths = [f":(literal){f}" for f in conflict.files]
    before = await marked(conflict.onto) | await marked(conflict.tip.commit)
    return [readable(f"{f} still has conflict markers") for f in sorted(await marked(resolved) - before)]


async def _dropped(repository: Path, conflict: MergeConflict, resolved: str) -> list[str]:
    """Files of which the result has nothing of what one side did to them."""
    base = (await git(repository, "merge-base", conflict.onto, conflict.tip.commit)).strip()
    ours, theirs, result = [
        await _blobs(repository, base, commit) for commit in (conflict.onto, conflict.tip.commit, resolved)
    ]
    automatic = await merge_tree(repository, conflict.onto, conflict.tip.commit)
    touched = {*conflict.files, *await _blobs(repository, automatic.tree, resolved)}
    message = await git(repository, "log", "--format=%B", resolved, "--not", conflict.onto, conflict.tip.commit)
    on_purpose = [line.removeprefix(DROPPED).strip() for line in message.splitlines() if line.startswith(DROPPED)]
    found = []
    for file in sorted(touched):
        side = _side_dropped(ours.get(file), theirs.get(file), result.get(file))
        if (
            side is None
            or any(said.startswith(readable(file)) for said in on_purpose)
            or await _is_binary(repository, base, resolved, file)
            or await _is_pointer(repository, resolved, file)
        ):
            continue
        who = conflict.into if side == "ours" else conflict.tip.branch
        found.append(readable(f"{file} holds nothing of what {who} did to it"))
    return found


def _side_dropped(ours: str | None, theirs: str | None, result: str | None) -> str | None:
    """Which side's change of a file is gone. None as a blob: not changed.

    A deletion has nothing to be kept; what the other side made of a file that one side deleted has.
    """
    if ours == theirs:
        return None
    if _GONE in (ours, theirs):
        other = "theirs" if ours == _GONE else "ours"
        return other if result == _GONE and None not in (ours, theirs) else None
    if theirs is not None and result == ours:
        return "theirs"
    if ours is not None and result == theirs:
        return "ours"
    return None


async def _is_binary(repository: Path, base: str, resolved: str, file: str) -> bool:
    out = await git(repository, "diff", "--numstat", "--no-renames", base, resolved, "--", f":(literal){file}")
    return out.startswith("-\t-")


async def _is_pointer(repository: Path, resolved: str, file: str) -> bool:
    """Whether git-lfs keeps a file's content: of two of them nothing but one can be taken."""
    try:
        if int(await git(repository, "cat-file", "-s", f"{resolved}:{file}")) >= LONGEST:
            return False
        return parse((await git(repository, "cat-file", "blob", f"{resolved}:{file}")).encode()) is not None
    except GitError:
        return False


async def _blobs(repository: Path, before: str, after: str) -> dict[str, str]:
    parts = await names(repository, "diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", before, after)
    return {file: meta.split()[3] for meta, file in zip(parts[0::2], parts[1::2], strict=False)}
