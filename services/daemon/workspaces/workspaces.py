"""Where attempts work: a worktree each, of the cache of its repository, begun and removed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from services.daemon.disk import folders
from services.daemon.disk.removal import Removals
from services.daemon.git.command import GitError, git
from services.daemon.git.containment import fork_of
from services.daemon.git.contended import git_beside_others
from services.daemon.git.merging import MergeConflict, Tip
from services.daemon.git.resolving import merge_in, unmerged
from services.daemon.workspaces import caches, tamper
from services.daemon.workspaces.caches import Caches
from services.daemon.workspaces.spares import Spares
from services.daemon.workspaces.tamper import Unwired
from services.daemon.workspaces.workspace import Workspace, WorkspaceFailed
from shared.domain.names import StepRefs, step_ref
from shared.messages.commands import SpawnTask


class Workspaces:
    """The workspaces under one daemon's folder."""

    def __init__(self, folder: Path, step_refs: StepRefs = "refs/heads", spares: int = 0) -> None:
        """`spares`: how many worktrees are kept for attempts to come."""
        self.folder = folder
        self._step_refs = step_refs
        self._worktrees = folder / "worktrees"
        self._removals = Removals(folder / "removed")
        self._caches = Caches(folder / "repositories", self._removals)
        self._spares = Spares(folder / "spares", spares, self._removals)

    async def remove_orphans(self) -> None:
        """Remove what an earlier life left: at start nothing is in hand."""
        self._removals.go_on()
        self._removals(self._worktrees, self._spares.folder)
        self._worktrees.mkdir(parents=True, exist_ok=True)
        await self._caches.clear()

    def held(self) -> tuple[UUID, ...]:
        """The tasks that have a worktree here."""
        return tuple(sorted({UUID(hex=entry.name.partition("-")[0]) for entry in self._worktrees.iterdir()}))

    async def make(self, command: SpawnTask) -> Workspace:
        """A worktree on the attempt's branch, started and merged as the command says.

        A plan's only looks, and a completion's works for `target_branch`: both are on no branch of their own.
        Raises WorkspaceFailed and GitError.
        """
        folder = self._folder(command)
        if command.repository_url is None:
            folder.mkdir()
            return Workspace(folder)
        cache = self._caches.use(command)
        begin, merges = await self._caches.start_of(cache, command)
        named = ["-B", command.branch] if command.kind not in ("plan", "completion") else ["--detach"]
        if not await self._spares.begin(folder, cache, begin.commit, *named):
            await _add(cache, folder, begin.commit, *named)
        branch = {"plan": "", "completion": command.target_branch or ""}.get(command.kind, command.branch)
        start = begin.commit
        stopped, left = None, list(merges)
        while left and stopped is None:
            stopped = await _merge(folder, begin.branch, left.pop(0))
        if merges and stopped is None and command.kind != "completion":
            start = (await git(folder, "rev-parse", "HEAD")).strip()
        if stopped is None and not (merges and command.kind == "completion"):
            await self._spares.note(folder, cache, start)
        ref = step_ref(branch, self._step_refs if command.kind == "step" else "refs/heads")
        return Workspace(folder, cache, start, branch, stopped, tuple(left), ref)

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
        return {c for c in commits if await caches.has(cache, c)}

    async def checkout(self, command: SpawnTask, commit: str, part: str = "") -> Path:
        """A clean worktree of the attempt's at a commit; `part` names one beside its first."""
        return await self._add_anew(command, commit, part)

    async def checkout_only(self, command: SpawnTask, commit: str, files: str, part: str) -> Path:
        """A worktree beside the attempt's first with no other files than these of a commit."""
        folder = await self._add_anew(command, commit, part, "--no-checkout")
        await git(folder, "checkout", "--quiet", commit, "--", files)
        return folder

    def cache(self, command: SpawnTask) -> Path | None:
        """The cache of a command's repository, made or not."""
        return self._cache(command) if command.repository_url is not None else None

    def beside(self, command: SpawnTask, folder: Path) -> Workspace:
        """A worktree that was checked out, for an agent to work in."""
        return Workspace(folder, self._cache(command), branch=command.target_branch or "")

    async def drop(self, command: SpawnTask, part: str) -> None:
        """Remove a worktree that was checked out."""
        await self.remove(Workspace(self._folder(command, part), self._cache(command)))

    def put_back(self, workspace: Workspace) -> list[str]:
        """Before git looks at what an agent left: put back what ties it to its repository; what was changed, in words.

        Raises WorkspaceFailed when there is nothing left to look at.
        """
        if workspace.cache is None:
            return []
        try:
            changed = tamper.put_back(workspace.cache, workspace.folder)
        except Unwired as error:
            raise WorkspaceFailed(str(error)) from None
        return [*changed, *self._caches.put_back(workspace.cache)]

    async def remove(self, workspace: Workspace) -> None:
        """Remove a workspace's folder and the cache's record of it; nothing of it is needed any more."""
        await asyncio.to_thread(folders.remove, workspace.folder)
        if workspace.cache is not None:
            await asyncio.to_thread(folders.remove, workspace.cache / "worktrees" / workspace.folder.name)

    async def discard(self, command: SpawnTask) -> None:
        """Remove whatever stands of an attempt's workspace, made to its end or not, or keep it as a spare."""
        first = self._folder(command)
        await self._spares.keep(first)
        cache = self._cache(command) if command.repository_url is not None else None
        for folder in (first, *self._worktrees.glob(f"{first.name}-*")):
            await self.remove(Workspace(folder, cache))
        if cache is not None:
            self._caches.release(cache, command)

    def _folder(self, command: SpawnTask, part: str = "") -> Path:
        return self._worktrees / (f"{command.task.hex}-{command.attempt}" + (f"-{part}" if part else ""))

    def _cache(self, command: SpawnTask) -> Path:
        assert command.repository_url is not None
        return self._caches.of(command.repository_url)

    async def _add_anew(self, command: SpawnTask, commit: str, part: str, *options: str) -> Path:
        await self.drop(command, part)
        folder = self._folder(command, part)
        await _add(self._cache(command), folder, commit, *options, "--detach")
        return folder


async def _add(cache: Path, folder: Path, commit: str, *options: str) -> None:
    await git_beside_others(cache, "worktree", "add", "--quiet", "--force", *options, str(folder), commit)


async def _merge(worktree: Path, into: str, tip: Tip) -> MergeConflict | None:
    """Merge in a worktree; the conflict at which it stopped there. Raises WorkspaceFailed."""
    onto = (await git(worktree, "rev-parse", "HEAD")).strip()
    try:
        if await merge_in(worktree, tip.commit, tip.branch):
            return None
    except GitError as error:
        raise WorkspaceFailed(f"{tip.branch} can't be merged into {into}: {error}") from None
    return MergeConflict(onto, tip, into, tuple(await unmerged(worktree)))
