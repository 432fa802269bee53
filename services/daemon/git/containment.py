"""Whether a branch holds a commit: as its descendant, or by its content, as after a squash or a rebase on a forge."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from services.daemon.git.command import GitError, git, names
from services.daemon.git.merging import commit_tree, holds, merge_tree, tree_of

MAX_LOOKED_AT = 200
"""Commits of the branch since it parted from the commit; of those, the oldest."""
MAX_FILES = 50
"""So many of the files that a commit changes narrow down which commits of the branch are looked at."""


async def contains(repository: Path, branch: str, commit: str) -> bool:
    """Whether a branch's tip holds a commit, or some commit that it went through holds all of the other's content."""
    return await holds(repository, branch, commit) or await _holds_content(repository, branch, commit)


async def _holds_content(repository: Path, branch: str, commit: str) -> bool:
    """Merging the commit into one that holds its content already changes nothing."""
    fork = await fork_of(repository, branch, commit)
    if fork is None:
        return False
    changed = await names(repository, "diff-tree", "-r", "-z", "--name-only", "--no-renames", fork, commit)
    if not changed:
        return True
    paths = [f":(literal){file}" for file in changed[:MAX_FILES]]
    walk = ("rev-list", "--first-parent", "--reverse", branch, f"^{fork}", "--", *paths)
    for one in (await git(repository, *walk)).split()[:MAX_LOOKED_AT]:
        merged = await merge_tree(repository, one, commit)
        if merged.clean and not merged.files and merged.tree == await tree_of(repository, one):
            return True
    return False


async def outside(repository: Path, branch: str, commits: Iterable[str]) -> set[str]:
    """Those of the commits that a branch's tip does not descend from."""
    wanted = set(commits)
    if not wanted:
        return wanted
    return wanted & set((await git(repository, "rev-list", *sorted(wanted), f"^{branch}")).split())


async def fork_of(repository: Path, one: str, other: str) -> str | None:
    """The newest commit that both hold; None where they have nothing in common."""
    try:
        return (await git(repository, "merge-base", one, other)).strip()
    except GitError as error:
        if error.code != 1:
            raise
        return None


async def transplanted(repository: Path, commit: str, base: str, onto: str, parents: Iterable[str]) -> str | list[str]:
    """What a commit changes against `base`, made anew on `onto` with these parents; or the files that conflict.

    As `git rebase --onto`, but all at once and without a worktree.
    """
    root = await commit_tree(repository, await tree_of(repository, base), (), "base")
    here = await commit_tree(repository, await tree_of(repository, onto), (root,), "onto")
    there = await commit_tree(repository, await tree_of(repository, commit), (root,), "changed")
    merged = await merge_tree(repository, here, there)
    if merged.files or not merged.clean:
        return list(merged.files)
    message = await git(repository, "log", "-1", "--format=%B", commit)
    return await commit_tree(repository, merged.tree, tuple(parents), message)
