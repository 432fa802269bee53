"""What an agent left in its workspace: looked at, committed and pushed, from the daemon's own git directory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.daemon.git.command import GitError, git, names, readable
from services.daemon.git.merging import commit_tree, holds, merge_tree, tree_of
from services.daemon.git.pointers import Pointer
from services.daemon.git.pushing import PushRefused, PushStale, push, push_work
from services.daemon.git.untrusted import AgentRepository, Unreadable
from services.daemon.workspaces import submodules, taking
from services.daemon.workspaces.beginning import without_credentials
from services.daemon.workspaces.large_files import on_remote, taken
from services.daemon.workspaces.leftovers import (
    MAX_NAMED,
    Baseline,
    Changes,
    Leftovers,
    Limits,
    Selection,
    named,
    select,
)
from services.daemon.workspaces.workspace import Submodule, Workspace, WorkspaceFailed
from shared.domain.delivery import Commit
from shared.domain.inert import inert_subject
from shared.messages.commands import SpawnTask

MAX_COMMITS = 100
MAX_SUBJECT = 200
"""Of a commit's subject, in characters."""
UNCLAIMED = """You left {count} new files of {mib:.1f} MiB that are neither committed nor ignored, more than is \
committed without asking:

{files}

Commit those that belong to the task, and name the others in .gitignore or remove them."""
_SUBMODULE = "160000"
"""The mode of a commit of another repository."""


Missing = Callable[[str, str], Awaitable[list[str]]]
"""What keeps a clone of the second commit from having its submodules, beyond those of the first; in words."""


@dataclass(frozen=True)
class Work:
    """What an attempt left in its workspace: a commit, in the cache."""

    head: str
    files: tuple[str, ...] = ()
    """Those that differ from the start."""
    notes: tuple[str, ...] = ()
    """What a person should know of it: what was left out, for one."""
    modules: tuple[Inner, ...] = ()
    """What was done in submodules: on their remotes before this is on its own."""
    large: tuple[Pointer, ...] = ()
    """What git-lfs keeps of it: on the remote before this is."""
    links: bool = False
    """It changes a submodule's commit, or where submodules come from."""


@dataclass(frozen=True)
class Inner:
    """What was done in a submodule."""

    submodule: Submodule
    worked: Worked
    work: Work


@dataclass
class Worked:
    """Whose work is whose in one workspace, from its beginning to its end."""

    workspace: Workspace
    message: str
    """Of a commit of what is left over."""
    limits: Limits = field(default_factory=Limits)
    is_secret: Callable[[str], bool] = lambda _: False
    own_branch: bool = True
    """Its branch is the attempt's alone; False: others' work is on it, too."""
    baseline: Baseline = field(default_factory=Baseline)
    unprepared: str | None = None
    """What was checked out before a setup ran."""
    sealed: Work | None = None
    """The work as it was when a check passed, or began, on it."""

    def __post_init__(self) -> None:
        assert self.workspace.cache is not None
        self._cache = self.workspace.cache
        top = self.workspace.top or self.workspace.folder
        self._repository = AgentRepository(top / ".git", self.workspace.inside)
        self._leftovers = Leftovers(self.workspace, self._repository, self.limits.large_bytes)
        self._inner = [
            (one, Worked(one.workspace, self.message, self.limits, self.is_secret)) for one in self.workspace.modules
        ]

    @classmethod
    def of(
        cls,
        workspace: Workspace,
        command: SpawnTask,
        limits: Limits | None = None,
        is_secret: Callable[[str], bool] = lambda _: False,
    ) -> Worked:
        """That of a task."""
        message = f"{inert_subject(command.name or 'Work')}\n\nMakima-Task: {command.task}"
        return cls(workspace, message, limits or Limits(), is_secret, own_branch=command.kind != "completion")

    async def before_setup(self) -> None:
        """A setup runs next: what is checked out stays so."""
        self.unprepared = await self._head()
        for _, inner in self._present():
            await inner.before_setup()

    async def begun(self) -> None:
        """The agent begins now: what is there already, as after setup, is not its work.

        Raises WorkspaceFailed for a setup after which other commits are checked out: they would be delivered.
        """
        head = await self._head()
        if self.unprepared not in (None, head):
            where = self.workspace.folder.relative_to(self.workspace.top or self.workspace.folder)
            what = "" if where == Path() else f" in the submodule {readable(str(where))}"
            raise WorkspaceFailed(
                f"the repository's setup left another commit checked out{what} ({head[:12]}), which would be delivered "
                "as the step's work: let it prepare files, and commit nothing",
                permanent=True,
            )
        changes = await self._leftovers.changes(await self._tree(head))
        self.baseline.untracked.update(changes.untracked, changes.nested)
        self.baseline.tracked.update(changes.tracked)
        for _, inner in self._present():
            await inner.begun()

    async def before_check(self) -> None:
        """A check runs next: the work is what is there now."""
        for _, inner in self._present():
            await inner.before_check()
        self.sealed = await self.gather()

    async def check_failed(self) -> None:
        """A check has failed, and the agent goes on: what the check wrote is not its work."""
        before, self.sealed = self.sealed, None
        assert before is not None
        for _, inner in self._inner:
            if inner.sealed is not None:
                await inner.check_failed()
        changes = await self._leftovers.changes(before.head)
        self.baseline.untracked.update(changes.untracked, changes.nested)
        theirs = set(before.files)
        self.baseline.tracked.update({p: c for p, c in changes.tracked.items() if readable(p) not in theirs})

    async def unclaimed(self) -> str | None:
        """What to ask of the agent, when new files are too many or too large to be committed without a word."""
        selected = await self._select(await self._leftovers.changes(await self._tree(await self._head())))
        if not selected.flood:
            return None
        left = len(selected.flood) - MAX_NAMED
        more = (f"- and {left} more: `git status --short` lists them",) if left > 0 else ()
        return UNCLAIMED.format(
            count=len(selected.flood),
            mib=selected.flood_bytes / (1 << 20),
            files="\n".join((*(f"- {readable(path)}" for path in selected.flood[:MAX_NAMED]), *more)),
        )

    async def gather(self) -> Work:
        """The work: what the agent committed, and on top of it what counts of what it left over.

        Raises WorkspaceFailed when that isn't the work, or would not be all of it.
        """
        done = [(one, inner, inner.sealed or await inner.gather()) for one, inner in self._present()]
        head, selected = await self._committed({one.path: work.head for one, inner, work in done if inner.moved(work)})
        work = await self._work(head, (*_left_out(selected), *(note for *_, work in done for note in work.notes)))
        return replace(work, modules=tuple(Inner(*one) for one in done), large=await self._large(work.head))

    def moved(self, work: Work) -> bool:
        """Whether something was done."""
        return work.head != self.workspace.start

    def _present(self) -> list[tuple[Submodule, Worked]]:
        """Its submodules that are still where they were, with no link on the way."""
        return [(one, inner) for one, inner in self._inner if _is_in(self.workspace.folder, one.path)]

    def _removed(self) -> list[str]:
        """Its submodules of which nothing is left, not even the folder."""
        return [one.path for one, _ in self._inner if not os.path.lexists(self.workspace.folder / one.path)]

    async def resolved(self) -> str:
        """The commit that ends a merge, made where the agent only added its files. Raises WorkspaceFailed."""
        head, _ = await self._committed({})
        await self._large(head)
        return head

    async def _committed(self, moved: Mapping[str, str]) -> tuple[str, Selection]:
        if half := self._repository.unfinished():
            raise WorkspaceFailed(f"the agent left {half} half-way: it must be finished or aborted")
        head = await self._head()
        merged = self._repository.merge_heads()
        changes = await self._leftovers.changes(await self._tree(head))
        if lost := [path for path in changes.nested if path not in self.baseline.untracked]:
            raise WorkspaceFailed(_nested(lost))
        selected = await self._select(changes)
        if (changes.tracked or merged) and (unmerged := await self._leftovers.unmerged()):
            raise WorkspaceFailed(f"the agent left conflicts unresolved in {named(unmerged)}")
        there = await self._leftovers.links([*moved, *self._removed()])
        links = {path: commit for path, commit in moved.items() if there.get(path, commit) != commit}
        paths = (*selected.paths, *(path for path in self._removed() if path in there))
        if paths or merged or links:
            message = (self._repository.merge_message() or f"Merge {merged[0]}") if merged else self.message
            head = await self._leftovers.record(paths, (head, *merged), message, links)
        return head, selected

    async def unmerged(self) -> list[str]:
        """The files that still conflict."""
        return await self._leftovers.unmerged()

    async def made_here(self, commit: str) -> bool:
        """Whether the attempt itself made a commit."""
        return await taking.made_here(self.workspace, self._repository, commit)

    async def _head(self) -> str:
        """What is checked out, with all it needs in the cache."""
        try:
            head = self._repository.head()
        except Unreadable as error:
            raise WorkspaceFailed(str(error)) from None
        await taking.take(self.workspace, self._repository, head, *self._repository.merge_heads())
        return head

    async def _large(self, head: str) -> tuple[Pointer, ...]:
        """What git-lfs keeps of the work, all of it at hand. Raises WorkspaceFailed."""
        return await taken(self.workspace, self._repository, head, self.limits.large_bytes)

    async def _tree(self, head: str) -> str:
        """What is checked out before the agent edits it: a commit, or the tree of the merge that is under way."""
        merged = self._repository.merge_heads()
        if len(merged) != 1:
            return head
        return (await merge_tree(self._cache, head, merged[0])).tree

    async def _select(self, changes: Changes) -> Selection:
        folder = self.workspace.folder
        return await asyncio.to_thread(select, folder, changes, self.baseline, self.limits, self.is_secret)

    async def _work(self, head: str, notes: tuple[str, ...]) -> Work:
        start = self.workspace.start
        if head == start:
            return Work(head, notes=notes)
        if not await holds(self._cache, head, start):
            head = await self._put_on_top(head)
            notes = (*notes, f"its history was rewritten: what it changed was put on top of {start[:12]}")
        files, links = await self._changed(head)
        return Work(head, files, notes, links=links)

    async def _put_on_top(self, head: str) -> str:
        """What an agent changed that rewrote history, as one commit on its start."""
        start, cache = self.workspace.start, self._cache
        try:
            await git(cache, "merge-base", start, head)
        except GitError:
            tree = await tree_of(cache, head)  # another root: it began with the start's files all the same
        else:
            merged = await merge_tree(cache, start, head)
            tree = await tree_of(cache, head) if merged.files else merged.tree
        return await commit_tree(cache, tree, (start,), self.message)

    async def _changed(self, head: str) -> tuple[tuple[str, ...], bool]:
        """The files that differ from the start, and whether submodules do.

        Raises WorkspaceFailed when the content of some would be lost.
        """
        cache = self._cache
        options = ("-r", "--raw", "--no-renames", "--no-abbrev", "-z")
        parts = await names(cache, "diff-tree", *options, self.workspace.start, head)
        changes = list(zip(parts[::2], parts[1::2], strict=False))  # ":modes oids status", path
        if nested := [path for change, path in changes if change.split(" ")[1] == _SUBMODULE]:
            try:
                modules = (await git(cache, "cat-file", "blob", f"{head}:{submodules.FILE}")).splitlines()
            except GitError:
                modules = []
            known = {line.partition("=")[2].strip() for line in modules if line.strip().startswith("path")}
            if lost := [path for path in nested if path not in known]:
                raise WorkspaceFailed(_nested(lost))
        links = any(_SUBMODULE in change or path == submodules.FILE for change, path in changes)
        return tuple(readable(path) for _, path in changes), links


async def commits(workspace: Workspace, work: Work) -> tuple[Commit, ...]:
    """The commits between the start and the work, oldest first; of more than MAX_COMMITS the newest."""
    if workspace.start == work.head:
        return ()
    assert workspace.cache is not None
    span = f"{workspace.start}..{work.head}"
    out = await git(workspace.cache, "log", "-z", "--format=%H %s", f"--max-count={MAX_COMMITS}", span)
    lines = (line.partition(" ") for line in reversed(out.split("\0")) if line)
    return tuple(Commit(sha=sha, subject=subject[:MAX_SUBJECT]) for sha, _, subject in lines)


async def push_to_remote(worked: Worked, work: Work, missing: Missing | None = None) -> None:
    """Push the work to its branch on the remote, which belongs to the attempt: over what the attempt itself pushed
    there, and over nothing else. Raises WorkspaceFailed, also for work that `missing` says can't be cloned."""
    workspace = worked.workspace
    assert workspace.cache is not None
    for one in work.modules:
        await _push_submodule(one)
    if missing is not None and work.links and (lacking := await missing(workspace.start, work.head)):
        raise WorkspaceFailed(f"nobody could clone this: {'; '.join(lacking)}")
    await on_remote(workspace.home, work.large)
    try:
        if worked.own_branch:
            await push_work(workspace.cache, work.head, workspace.ref, worked.made_here)
        else:
            await push(workspace.cache, work.head, workspace.branch)
    except (PushRefused, PushStale) as error:
        raise WorkspaceFailed(str(error), isinstance(error, PushRefused) and error.permanent) from None


async def _push_submodule(inner: Inner) -> None:
    """Push what was done in a submodule, unless its remote has it. Raises WorkspaceFailed that names it."""
    one, cache, head = inner.submodule, inner.submodule.workspace.cache, inner.work.head
    assert cache is not None
    if head == one.workspace.start or await submodules.on_a_branch(cache, head):
        return
    try:
        await push_to_remote(inner.worked, inner.work)
    except WorkspaceFailed as error:
        what = f"the commit {head[:12]} of the submodule {readable(one.path)} can't be pushed to its remote"
        raise WorkspaceFailed(f"{what} {without_credentials(one.url)}: {error}", error.permanent) from None


def _is_in(folder: Path, path: str) -> bool:
    """Whether a submodule's folder is there, and led to by no link."""
    place = folder
    for part in path.split("/"):
        place /= part
        if place.is_symlink():
            return False
    return os.path.lexists(place / ".git")


def _nested(paths: list[str]) -> str:
    return (
        f"the agent left a git repository of its own in {named(paths)}: its files are in no "
        "commit here; they must be added without that repository's .git, or as a submodule"
    )


def _left_out(selected: Selection) -> tuple[str, ...]:
    notes = []
    if selected.credentials:
        notes.append(f"left out, since they look like credentials: {named(selected.credentials)}")
    if selected.flood:
        size = f"{selected.flood_bytes / (1 << 20):.1f} MiB"
        many = f"{len(selected.flood)} new files of {size}"
        notes.append(f"left out, since nobody committed or ignored {many}: {named(selected.flood)}")
    return tuple(notes)
