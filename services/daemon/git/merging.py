"""Merging branches into one commit, without a worktree: `git merge-tree` says the result or the conflict beforehand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from uuid import UUID

import msgspec

from services.daemon.git.command import GitError, git, names, readable
from shared.domain.delivery import Strategy
from shared.domain.inert import inert_subject


class Tip(msgspec.Struct, frozen=True, kw_only=True):
    """A branch at a commit; of a step, with that step."""

    branch: str
    commit: str
    step: UUID | None = None
    name: str = ""


class MergeConflict(RuntimeError):
    """A merge needs judgement: which branch into what, and the files. Nothing was touched."""

    def __init__(self, onto: str, tip: Tip, into: str, files: tuple[str, ...]) -> None:
        self.onto = onto
        self.tip = tip
        self.into = into
        self.files = files
        super().__init__(readable(f"{tip.branch} conflicts with {into} in {', '.join(files)}"))


Resolve = Callable[[MergeConflict], Awaitable[str]]
"""The merge commit of a conflict that could be resolved. Raises the conflict when it can't."""


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What merging two commits gives: the tree, with markers in the `files` that conflict."""

    tree: str
    files: tuple[str, ...] = ()
    clean: bool = True
    """False without any file: git can't tell where new files belong, and left them where they were made."""


Noted = Callable[[str], None]
"""Takes down what a person should know of a merge."""


async def unresolved(conflict: MergeConflict) -> str:
    """Resolve none."""
    raise conflict


async def merge_all(
    repository: Path,
    begin: Tip,
    tips: Sequence[Tip],
    strategy: Strategy = "merge",
    resolve: Resolve = unresolved,
    noted: Noted = lambda _: None,
) -> str:
    """The commit that holds `begin` and every tip, in order. Raises MergeConflict and GitError.

    `merge`: a merge commit a branch that no other holds (a chain is one), or none where it is a fast-forward.
    `squash`: one commit a tip.
    """
    if strategy == "squash":
        return await _squash_all(repository, begin, tips, resolve, noted)
    head = begin.commit
    for place, tip in enumerate(await independent(repository, head, tips)):
        if place == 0 and await holds(repository, tip.commit, head):
            head = tip.commit
        else:
            head = await _merge(repository, begin.branch, head, tip, resolve, noted)
    return head


async def tree_of(repository: Path, commit: str) -> str:
    """The tree of a commit."""
    return (await git(repository, "rev-parse", f"{commit}^{{tree}}")).strip()


async def changed(repository: Path, before: str, after: str) -> dict[str, tuple[str, str]]:
    """The files that differ between two commits, each with its mode and its blob after."""
    options = ("-r", "--raw", "--no-renames", "--no-abbrev", "-z")
    parts = await names(repository, "diff-tree", *options, before, after)
    changes = ((path, about.split(" ")) for about, path in zip(parts[::2], parts[1::2], strict=True))
    return {path: (fields[1], fields[3]) for path, fields in changes}


async def _squash_all(repository: Path, begin: Tip, tips: Sequence[Tip], resolve: Resolve, noted: Noted) -> str:
    """A commit a tip with the tree of the true merge: that merge is made, too, so that git knows each merge's base."""
    head = merged = begin.commit
    tree = await tree_of(repository, head)
    for tip in tips:
        merged = await _merge(repository, begin.branch, merged, tip, resolve, noted)
        if (new := await tree_of(repository, merged)) != tree:
            tree = new
            message = f"{inert_subject(tip.name or tip.branch)}\n\nMakima-Step: {tip.step}\nMakima-Branch: {tip.branch}"
            head = await commit_tree(repository, tree, (head,), message)
    return head


async def merge_base_of_squashed(repository: Path, begin: Tip, earlier: Sequence[Tip]) -> Tip:
    """`begin` as a commit that also descends from what was squashed into it: never published."""
    if not earlier:
        return begin
    tree = await tree_of(repository, begin.commit)
    commit = await commit_tree(repository, tree, (begin.commit, *(t.commit for t in earlier)), "Delivered before")
    return msgspec.structs.replace(begin, commit=commit)


async def commit_tree(repository: Path, tree: str, parents: Sequence[str], message: str) -> str:
    """A commit of a tree."""
    named = [part for parent in parents for part in ("-p", parent)]
    return (await git(repository, "commit-tree", *named, "-m", message.replace("\0", ""), tree)).strip()


async def _merge(repository: Path, into: str, head: str, tip: Tip, resolve: Resolve, noted: Noted) -> str:
    merged = await merge_tree(repository, head, tip.commit)
    if merged.files:
        return await resolve(MergeConflict(head, tip, into, merged.files))
    if not merged.clean:
        noted(f"{tip.branch} is merged as it is, but look at it: {await _unclear(repository, head, tip.commit)}")
    return await commit_tree(repository, merged.tree, (head, tip.commit), f"Merge {tip.branch}")


async def merge_tree(repository: Path, one: str, other: str) -> Merged:
    """What a merge gives. Raises GitError."""
    try:
        tree, *files = await names(
            repository, "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", one, other
        )
    except GitError as error:
        if error.code != 1:
            raise
        tree, *files = (part for part in error.out.split("\0") if part)
        return Merged(tree=tree, files=tuple(sorted(set(files))), clean=False)
    return Merged(tree=tree, files=tuple(sorted(set(files))))


async def _unclear(repository: Path, one: str, other: str) -> str:
    """Why git calls a merge unclear in which no file conflicts."""
    try:
        out = await git(repository, "merge-tree", "--write-tree", "--name-only", "--messages", one, other)
    except GitError as error:
        out = readable(error.out)
    said = [line.partition(": ")[2] for line in out.splitlines() if line.startswith("CONFLICT")]
    return " ".join(said) or "git says only that it is not clean"


async def independent(repository: Path, head: str, tips: Sequence[Tip]) -> list[Tip]:
    """The tips that neither the head nor another tip holds, in order."""
    first = {tip.commit: tip for tip in reversed(tips)}
    if not first:
        return []
    out = await git(repository, "merge-base", "--independent", head, *first)
    wanted = set(out.split())
    return [tip for tip in tips if tip.commit in wanted and tip.commit != head and first[tip.commit] is tip]


async def holds(repository: Path, commit: str, other: str) -> bool:
    """Whether a commit descends from another."""
    try:
        await git(repository, "merge-base", "--is-ancestor", other, commit)
    except GitError as error:
        if error.code != 1:
            raise
        return False
    return True
