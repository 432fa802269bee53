"""Where attempts work: a repository of its own each, which borrows from the cache of its origin, begun and removed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import UUID

from services.daemon.disk import folders
from services.daemon.disk.removal import Removals
from services.daemon.git.command import GitError, git, has, on_files
from services.daemon.git.containment import fork_of
from services.daemon.git.kept import attributes_changed
from services.daemon.git.lfs import Home
from services.daemon.git.merging import MergeConflict, Tip, changed
from services.daemon.workspaces import caches
from services.daemon.workspaces.beginning import Beginning, hand_over, lay_out, write_files
from services.daemon.workspaces.caches import Caches
from services.daemon.workspaces.large_files import fill, not_on_remote
from services.daemon.workspaces.resolving import Checkout, conflicting, merge_in
from services.daemon.workspaces.spares import Spares
from services.daemon.workspaces.submodules import Origin, Say, concerns, missing, populate
from services.daemon.workspaces.workspace import INDEXES, Workspace, WorkspaceFailed, note_borrowed
from shared.domain.names import StepRefs, step_ref
from shared.messages.commands import SpawnTask


class Workspaces:
    """The workspaces under one daemon's folder."""

    def __init__(
        self,
        folder: Path,
        step_refs: StepRefs = "refs/heads",
        spares: int = 0,
        hooks: bool = False,
        submodules: bool = True,
    ) -> None:
        """`spares`: how many worktrees are kept for attempts to come. `hooks`: whether a repository's own run.

        `submodules`: whether they are populated.
        """
        self.folder = folder
        self._step_refs = step_refs
        self._hooks = hooks
        self._submodules = submodules
        self._worktrees = folder / "worktrees"
        self._own = folder / INDEXES
        self._resolutions = folder / "resolutions"
        self._removals = Removals(folder / "removed")
        self._caches = Caches(folder / "repositories", self._removals)
        self._spares = Spares(folder / "spares", spares, self._removals)

    async def remove_orphans(self) -> None:
        """Remove what an earlier life left: at start nothing is in hand."""
        self._removals.go_on()
        self._removals(self._worktrees, self._own, self._spares.folder)
        self._worktrees.mkdir(parents=True, exist_ok=True)
        await self._caches.clear()

    def held(self) -> tuple[UUID, ...]:
        """The tasks that have a worktree here."""
        return tuple(sorted({UUID(hex=entry.name.partition("-")[0]) for entry in self._worktrees.iterdir()}))

    async def make(self, command: SpawnTask, say: Say = lambda _: None) -> Workspace:
        """A workspace on the attempt's branch, started and merged as the command says.

        A plan's only looks, and a completion's works for `target_branch`: both are on no branch of their own.
        Raises WorkspaceFailed and GitError.
        """
        folder = self._folder(command)
        if command.repository_url is None:
            folder.mkdir()
            return Workspace(folder)
        cache = self._caches.use(command)
        begin, merges, known = await self._caches.start_of(cache, command)
        on_branch = command.branch if command.kind not in ("plan", "completion") else None
        made = await self._begin(command, begin.commit, on_branch, known)
        branch = {"plan": "", "completion": command.target_branch or ""}.get(command.kind, command.branch)
        start = begin.commit
        stopped, left = None, list(merges)
        if left:
            Checkout.bring(self._resolved(command), made)
        while left and stopped is None:
            stopped = await _merge(made, begin.branch, left.pop(0))
        if merges:
            if stopped is None and command.kind != "completion":
                start = (await git(folder, "rev-parse", "HEAD")).strip()
            await write_index(made, start if stopped is None else (await git(folder, "rev-parse", "HEAD")).strip())
        if stopped is None and not (merges and command.kind == "completion"):
            self._spares.note(folder, cache, start, made.index)
        ref = step_ref(branch, self._step_refs if command.kind == "step" else "refs/heads")
        workspace = replace(made, start=start, branch=branch, stopped=stopped, left=tuple(left), ref=ref)
        beside = [] if stopped is None else [stopped.tip.commit, *(tip.commit for tip in left)]
        return await self._populated(await fill(workspace, beside), command, known, say)

    async def base_of(self, workspace: Workspace, command: SpawnTask) -> str | None:
        """The newest commit of the base branch that a workspace's start is built on; None where that can't be told."""
        if workspace.cache is None or command.kind != "step":
            return None
        if command.start_from is None and not command.merge_branches:
            return workspace.start
        base = command.base_branch or ""
        known = await caches.resolve(workspace.cache, (base,))
        return await fork_of(workspace.cache, workspace.start, known[base]) if base in known else None

    async def repository(self, command: SpawnTask) -> Path:
        """The cache of a command's repository, brought up to date. Raises WorkspaceFailed."""
        if command.repository_url is None:
            raise WorkspaceFailed("there is no repository to deliver to", permanent=True)
        cache = self._caches.use(command)
        await self._caches.fetch(cache, command)
        return cache

    async def repository_as_it_is(self, command: SpawnTask) -> Path:
        """The cache of a command's repository, made if there is none, not brought up to date. Raises GitError."""
        cache = self._caches.use(command)
        assert command.repository_url is not None
        await self._caches.make(cache, command.repository_url)
        return cache

    async def branches(self, cache: Path) -> dict[str, str]:
        """The commits of all of the remote's branches; under "" that of its HEAD."""
        return await caches.resolve(cache, ("",))

    async def have(self, cache: Path, commits: Iterable[str]) -> set[str]:
        """Those of these commits that the cache has."""
        return {c for c in commits if await has(cache, c)}

    def checkouts(self, command: SpawnTask) -> Checkout:
        """Clean workspaces for a delivery."""
        return Checkout(lambda commit, part: self._checkout(command, commit, part), self._resolved(command))

    async def checkout(self, command: SpawnTask, commit: str, part: str = "") -> Workspace:
        """A clean workspace of the attempt's at a commit, with submodules; `part` names one beside its first."""
        made = await fill(await self._checkout(command, commit, part))
        return await self._populated(made, command, {})

    async def on_remotes(self, command: SpawnTask, begin: str, head: str, large: bool) -> list[str]:
        """What of a commit is on no remote, beyond what another has, in words: commits of submodules, large files.

        `large`: whether the other's attributes name large files. Raises WorkspaceFailed.
        """
        cache, lacking = self._cache(command), list[str]()
        changes = await changed(cache, begin, head)
        if large or await attributes_changed(cache, head, changes):
            home = Home(cache, command.repository_url or "", caches.ref_of(command.base_branch))
            lacking += await not_on_remote(home, begin, head)
        if concerns(changes):
            lacking += await self.submodules_missing(command, begin, head)
        return lacking

    async def submodules_missing(self, command: SpawnTask, begin: str, head: str) -> list[str]:
        """What keeps a clone of a commit from having its submodules, beyond those of another, in words.

        Raises WorkspaceFailed.
        """
        cache_of = partial(self._caches.of_submodule, command)
        return await missing(await self._origin(command, {}), cache_of, begin, head)

    async def _populated(
        self, workspace: Workspace, command: SpawnTask, known: Mapping[str, str], say: Say = lambda _: None
    ) -> Workspace:
        if not self._submodules:
            return workspace
        origin = await self._origin(command, known)
        return await populate(workspace, origin, partial(self._caches.of_submodule, command), say, self._hooks)

    async def _origin(self, command: SpawnTask, known: Mapping[str, str]) -> Origin:
        """The repository of a command, with the commit of its base branch."""
        base = command.base_branch or ""
        cache = self._cache(command)
        if base not in known:
            known = await caches.resolve(cache, (base,))
        return Origin(cache, command.repository_url or "", known.get(base))

    async def _checkout(self, command: SpawnTask, commit: str, part: str = "") -> Workspace:
        await self.drop(command, part)
        known = await caches.resolve(self._cache(command), ("",))
        return await self._begin(command, commit, None, known, part)

    async def checkout_only(self, command: SpawnTask, commit: str, files: str, part: str) -> Path:
        """A repository with no other files than these of a commit, for the daemon's own git: it writes to the cache."""
        await self.drop(command, part)
        folder, cache = self._folder(command, part), self._cache(command)
        folder.mkdir()
        await asyncio.to_thread(lay_out, folder, cache, Beginning(commit=commit, url=command.repository_url or ""))
        await asyncio.to_thread(folders.remove, folder / ".git" / "objects")
        (folder / ".git" / "objects").symlink_to(cache / "objects")
        await git(folder, "checkout", "--quiet", commit, "--", files)
        return folder

    def cache(self, command: SpawnTask) -> Path | None:
        """The cache of a command's repository, made or not."""
        return self._cache(command) if command.repository_url is not None else None

    def beside(self, command: SpawnTask, folder: Path) -> Workspace:
        """A workspace that was checked out, for an agent to work in."""
        url = command.repository_url or ""
        return Workspace(folder, self._cache(command), branch=command.target_branch or "", url=url)

    async def drop(self, command: SpawnTask, part: str) -> None:
        """Remove a workspace that was checked out."""
        await self._remove(self._folder(command, part))

    async def discard(self, command: SpawnTask) -> None:
        """Remove whatever stands of an attempt's workspace, made to its end or not, or keep it as a spare."""
        first = self._folder(command)
        await self._spares.keep(first)
        for folder in (first, *self._worktrees.glob(f"{first.name}-*")):
            await self._remove(folder)
        if command.repository_url is not None:
            self._caches.release(command)

    async def _begin(
        self, command: SpawnTask, commit: str, branch: str | None, known: Mapping[str, str], part: str = ""
    ) -> Workspace:
        """A workspace at a commit, with nothing merged into it."""
        folder, cache = self._folder(command, part), self._cache(command)
        own = self._own / folder.name
        refs = {f"refs/remotes/origin/{name or 'HEAD'}": known[name] for name in known}
        url = command.repository_url or ""
        beginning = Beginning(commit=commit, branch=branch, url=url, refs=refs, hooks=self._hooks)
        made = Workspace(folder, cache, commit, own=own, url=url, trusted=caches.ref_of(command.base_branch))
        note_borrowed(own, cache)
        if not await self._spares.begin(folder, cache, commit, made.index):
            folder.mkdir()
            await write_files(folder, cache, made.index, commit)
        await asyncio.to_thread(lay_out, folder, cache, beginning)
        await hand_over(folder, made.index)
        return made

    async def _remove(self, folder: Path) -> None:
        await asyncio.to_thread(folders.remove, folder)
        await asyncio.to_thread(folders.remove, self._own / folder.name)

    def _folder(self, command: SpawnTask, part: str = "") -> Path:
        return self._worktrees / (f"{command.task.hex}-{command.attempt}" + (f"-{part}" if part else ""))

    def _cache(self, command: SpawnTask) -> Path:
        assert command.repository_url is not None
        return self._caches.of(command.repository_url)

    def _resolved(self, command: SpawnTask) -> Path:
        """What was resolved before in the same directive, and in no other."""
        return self._resolutions / self._cache(command).stem / command.directive.hex


async def write_index(workspace: Workspace, commit: str) -> None:
    """Make the daemon's own index that of a commit which was merged in a workspace, with what its files look like."""
    folder, cache, index = workspace.folder, workspace.cache, workspace.index
    assert cache is not None
    where = on_files(cache, folder, index)
    await git(cache, "read-tree", "--reset", commit, **where)
    await git(cache, "update-index", "-q", "--refresh", **where)


async def _merge(workspace: Workspace, into: str, tip: Tip) -> MergeConflict | None:
    """Merge in a workspace; the conflict at which it stopped there. Raises WorkspaceFailed."""
    onto = (await git(workspace.folder, "rev-parse", "HEAD")).strip()
    try:
        if await merge_in(workspace, tip.commit, tip.branch):
            return None
    except GitError as error:
        raise WorkspaceFailed(f"{tip.branch} can't be merged into {into}: {error}") from None
    return MergeConflict(onto, tip, into, tuple(await conflicting(workspace)))
