"""Where attempts work: a bare cache a repository, a worktree an attempt, started, committed, pushed and removed."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections import defaultdict
from pathlib import Path

from services.daemon.git import GitFailed, git
from shared.messages.commands import SpawnTask


class WorkspaceFailed(RuntimeError):
    """Why a workspace can't be made or its work not delivered. `permanent`: trying again can't mend it."""

    def __init__(self, reason: str, permanent: bool = False) -> None:
        self.permanent = permanent
        super().__init__(reason)


class Workspaces:
    """The workspaces under one daemon's folder."""

    def __init__(self, folder: Path) -> None:
        self._repositories = folder / "repositories"
        self._worktrees = folder / "worktrees"
        self._locks: defaultdict[Path, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def remove_orphans(self) -> None:
        """Remove what an earlier life left: at start nothing is in hand."""
        await asyncio.to_thread(shutil.rmtree, self._worktrees, True)
        for folder in (self._worktrees, self._repositories):
            folder.mkdir(parents=True, exist_ok=True)
        for cache in self._repositories.iterdir():
            await git(cache, "worktree", "prune")

    async def make(self, command: SpawnTask) -> Path:
        """A worktree on the attempt's branch, started and merged as the command says. Raises WorkspaceFailed."""
        worktree = self._worktrees / f"{command.task.hex}-{command.attempt}"
        if command.repository_url is None:
            worktree.mkdir()
            return worktree
        cache = self._cache(command.repository_url)
        async with self._locks[cache]:
            await self._fetch(cache, command.repository_url)
            start = await self._start(cache, command)
            branch = ["-B", command.branch] if command.kind != "completion" else ["--detach"]
            await git(cache, "worktree", "add", "--quiet", *branch, str(worktree), start)
        for merged in command.merge_branches:
            await self._merge(worktree, merged)
        return worktree

    async def commit(self, worktree: Path, command: SpawnTask) -> tuple[str, tuple[str, ...]]:
        """Commit what is left over; the head and the files changed since the start."""
        if await git(worktree, "status", "--porcelain"):
            await git(worktree, "add", "--all")
            await git(worktree, "commit", "--quiet", "--no-verify", "-m", command.name)
        head = (await git(worktree, "rev-parse", "HEAD")).strip()
        changed = await git(
            worktree, "log", "--format=", "--name-only", "--first-parent", "-m", "HEAD", "--not", "--remotes"
        )
        return head, tuple(sorted(set(changed.split("\n")) - {""}))

    async def push(self, worktree: Path, branch: str) -> None:
        """Push the head to the remote's branch, never by force. Raises WorkspaceFailed."""
        try:
            await git(worktree, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        except GitFailed as error:
            raise WorkspaceFailed(f"the push of {branch} was refused: {error}") from None

    async def remove(self, worktree: Path, repository_url: str | None) -> None:
        """Remove a worktree."""
        await asyncio.to_thread(shutil.rmtree, worktree, True)
        if repository_url is not None:
            cache = self._cache(repository_url)
            async with self._locks[cache]:
                await git(cache, "worktree", "prune")

    def _cache(self, repository_url: str) -> Path:
        return self._repositories / f"{hashlib.sha256(repository_url.encode()).hexdigest()[:16]}.git"

    async def _fetch(self, cache: Path, repository_url: str) -> None:
        try:
            if not (cache / "HEAD").exists():
                cache.mkdir(parents=True, exist_ok=True)
                await git(cache, "init", "--quiet", "--bare")
                await git(cache, "remote", "add", "origin", repository_url)
            await git(cache, "fetch", "--quiet", "--prune", "--no-tags", "origin")
            await git(cache, "remote", "set-head", "origin", "--auto")
        except GitFailed as error:
            missing = "Cannot determine remote HEAD" in error.said
            reason = (
                "the repository is empty: make a first commit"
                if missing
                else f"{repository_url} can't be cloned: {error}"
            )
            raise WorkspaceFailed(reason, permanent=True) from None

    async def _start(self, cache: Path, command: SpawnTask) -> str:
        base = f"origin/{command.base_branch}" if command.base_branch else "origin/HEAD"
        if command.kind == "completion" and await self._exists(cache, f"origin/{command.target_branch}"):
            return f"origin/{command.target_branch}"
        if command.start_from is not None:
            if await self._exists(cache, f"origin/{command.start_from}"):
                return f"origin/{command.start_from}"
            raise WorkspaceFailed(f"the branch {command.start_from}, where this task starts, is not on the remote")
        if not await self._exists(cache, base):
            raise WorkspaceFailed(
                f"the base branch {command.base_branch!r} doesn't exist on the remote", permanent=True
            )
        return base

    async def _exists(self, cache: Path, reference: str) -> bool:
        try:
            await git(cache, "rev-parse", "--quiet", "--verify", f"refs/remotes/{reference}^{{commit}}")
        except GitFailed:
            return False
        return True

    async def _merge(self, worktree: Path, branch: str) -> None:
        message = f"Merge {branch}"
        try:
            await git(worktree, "merge", "--quiet", "--no-edit", "-m", message, f"refs/remotes/origin/{branch}")
        except GitFailed as error:
            files = (await git(worktree, "diff", "--name-only", "--diff-filter=U")).split()
            if not files:
                raise WorkspaceFailed(f"{branch} can't be merged: {error}") from None
            await git(worktree, "merge", "--abort")
            raise WorkspaceFailed(f"{branch} conflicts in {', '.join(files)}", permanent=True) from None
