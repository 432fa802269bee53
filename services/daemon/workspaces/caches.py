"""The daemon's copies of repositories: one bare cache each, made, kept current, and known to be in use."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO
from uuid import UUID

from services.daemon.disk import folders, locks
from services.daemon.disk.removal import Removals
from services.daemon.git.command import GitError, git, is_transient
from services.daemon.git.contended import git_beside_others
from services.daemon.git.merging import Tip
from services.daemon.git.resolving import REMOTE_HEAD
from services.daemon.git.store import Store
from services.daemon.workspaces.workspace import WorkspaceFailed
from shared.messages.commands import SpawnTask

HEAD_REF = "refs/makima/head"
"""Where a cache keeps the commit of the remote's HEAD."""
_BRANCHES = "+refs/heads/*:refs/remotes/origin/*"
_STEPS = "+refs/makima/*:refs/remotes/steps/*"
"""Steps' branches that lie outside of the remote's branches, by whichever daemon's setting."""
_HERE, _STEPS_HERE = "refs/remotes/origin/", "refs/remotes/steps/"


class Caches:
    """The caches under one folder, each of use to many attempts at the same time."""

    def __init__(self, folder: Path, removals: Removals) -> None:
        self._folder = folder
        self._removals = removals
        self._locks: defaultdict[Path, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._fetched: dict[Path, float] = {}
        self._users: defaultdict[Path, set[tuple[UUID, int]]] = defaultdict(set)
        self._marks: dict[Path, IO[bytes]] = {}
        self._known: set[Path] = set()
        """Those whose configuration this life has written."""

    async def clear(self) -> None:
        """Remove what an earlier life left half-done, its locks, and the worktrees that an earlier version noted."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for cache in self._folder.iterdir():
            if cache.suffix != ".git":
                await asyncio.to_thread(folders.remove, cache)
                continue
            await asyncio.to_thread(Store(cache).clear)
            for lock in (*cache.glob("*.lock"), *(cache / "refs").rglob("*.lock")):
                lock.unlink(missing_ok=True)
            await asyncio.to_thread(folders.remove, cache / "worktrees")

    def of(self, repository_url: str) -> Path:
        """Where a repository's cache is, made or not."""
        return self._folder / f"{hashlib.sha256(repository_url.encode()).hexdigest()[:16]}.git"

    def use(self, command: SpawnTask, submodule: str | None = None) -> Path:
        """The cache of a command's repository or of a submodule's, in use until the attempt releases it."""
        url = submodule or command.repository_url
        assert url is not None
        cache = self.of(url)
        self._users[cache].add((command.task, command.attempt))
        if cache not in self._marks and (mark := locks.use(cache)):
            self._marks[cache] = mark
        return cache

    def release(self, command: SpawnTask) -> None:
        """The attempt needs none any more; one that nobody needs may be pruned."""
        attempt = command.task, command.attempt
        for cache in [cache for cache, users in self._users.items() if attempt in users]:
            self._users[cache].discard(attempt)
            if not self._users[cache] and (mark := self._marks.pop(cache, None)):
                mark.close()

    async def of_submodule(self, command: SpawnTask, url: str) -> Path:
        """The cache of a submodule's repository, made if there is none. Raises GitError."""
        cache = self.use(command, url)
        await self.make(cache, url)
        return cache

    async def make(self, cache: Path, repository_url: str) -> None:
        """Make it if there is none, with nothing fetched. Raises GitError."""
        async with self._locks[cache]:
            await self._make(cache, repository_url)

    async def fetch(self, cache: Path, command: SpawnTask) -> None:
        """Bring it up to date. A fetch that began after this was asked for serves all who wait for it.

        Raises WorkspaceFailed.
        """
        assert command.repository_url is not None
        asked = time.monotonic()
        async with self._locks[cache]:
            if self._fetched.get(cache, 0.0) > asked:
                return
            began = time.monotonic()
            fetch = ["fetch", "--quiet", "--prune", "--no-tags", "--update-shallow", "origin", _BRANCHES, _STEPS]
            try:
                await self._make(cache, command.repository_url)
                try:
                    await git_beside_others(cache, *fetch, f"+HEAD:{HEAD_REF}")
                except GitError as error:
                    if "couldn't find remote ref HEAD" not in error.said:
                        raise
                    await _fetch_without_head(cache, fetch, command)
            except GitError as error:
                reason = f"{command.repository_url} can't be cloned: {error}"
                raise WorkspaceFailed(reason, permanent=not is_transient(error)) from None
            self._fetched[cache] = began

    async def start_of(self, cache: Path, command: SpawnTask) -> tuple[Tip, list[Tip], dict[str, str]]:
        """Where a command's work begins, what is merged into that, in order, and the branches that were looked at.

        Fetched only if it must be.

        Raises WorkspaceFailed for what is not on the remote.
        """
        target = command.target_branch if command.kind == "completion" else None
        start, merged = command.start_from, command.merge_branches
        known: dict[str, str] = {}
        wanted = [b for b in (start, *merged) if b]
        if start is not None and target is None and all(map(_settled, wanted)) and self._knows(cache):
            known = await resolve(cache, [*wanted, *((command.base_branch,) if command.base_branch else ())])
        if not known or any(b not in known for b in wanted):
            await self.fetch(cache, command)
            known = await resolve(cache, [b for b in (target, command.base_branch, *wanted) if b])
        if target is not None and target in known:
            begin = Tip(branch=target, commit=known[target])
        elif start is not None:
            if start not in known:
                raise WorkspaceFailed(f"the branch {start!r}, where this task starts, is not on the remote", True)
            begin = Tip(branch=start, commit=known[start])
        else:
            begin = base_among(known, command.base_branch)
        refuse_missing([b for b in merged if b not in known])
        return begin, [Tip(branch=b, commit=known[b]) for b in merged], known

    def _knows(self, cache: Path) -> bool:
        return cache in self._known and (cache / "HEAD").exists()

    async def _make(self, cache: Path, repository_url: str) -> None:
        if self._knows(cache):
            return
        draft = cache.with_suffix(".new")
        await asyncio.to_thread(folders.remove, draft)
        draft.mkdir(parents=True)
        await git(draft, "init", "--quiet", "--bare", "--template=")
        await git(draft, "remote", "add", "--", "origin", repository_url)
        await git(draft, "config", "--add", "remote.origin.fetch", _STEPS)  # so that what is pushed is known here
        self._known.add(cache)
        if (cache / "HEAD").exists():
            (draft / "config").replace(cache / "config")
            await asyncio.to_thread(folders.remove, draft)
            return
        if mark := locks.use(draft):
            self._marks[cache] = mark
        if cache.exists():
            self._removals(cache)
        draft.rename(cache)


def ref_of(base_branch: str | None) -> str:
    """Where a cache keeps the commit of a base branch; where none is named, of the remote's HEAD."""
    return f"{_HERE}{base_branch}" if base_branch else HEAD_REF


async def resolve(cache: Path, branches: Iterable[str]) -> dict[str, str]:
    """The commits of those of the remote's branches that a cache has; under "" that of its HEAD."""
    wanted = tuple(branches)
    steps = (b.removeprefix("makima/") for b in wanted if b == "" or b.startswith("makima/"))
    patterns = [HEAD_REF, *(_HERE + b for b in wanted), *(_STEPS_HERE + b for b in steps)]
    listed = await git(cache, "for-each-ref", "--format=%(refname) %(objectname)", *patterns)
    return {_branch_of(name): commit for name, commit in (line.split(" ") for line in listed.splitlines())}


def base_among(known: Mapping[str, str], base_branch: str | None) -> Tip:
    """The base branch among the remote's; where none is named, its HEAD. Raises WorkspaceFailed."""
    if base_branch is None:
        return Tip(branch=REMOTE_HEAD, commit=known[""])
    if base_branch not in known:
        raise WorkspaceFailed(f"the base branch {base_branch!r} doesn't exist on the remote", permanent=True)
    return Tip(branch=base_branch, commit=known[base_branch])


def refuse_missing(missing: Iterable[str]) -> None:
    """Raises WorkspaceFailed, naming them, when branches to be merged are missing on the remote."""
    if named := ", ".join(missing):
        raise WorkspaceFailed(f"to be merged, but not on the remote: {named}", permanent=True)


async def _fetch_without_head(cache: Path, fetch: list[str], command: SpawnTask) -> None:
    """For a remote whose HEAD names no commit."""
    await git_beside_others(cache, *fetch)
    if command.base_branch is None and command.start_from is None:
        some = await git(cache, "for-each-ref", "--count=1", "refs/remotes/origin")
        fix = "name a base branch" if some else "make a first commit"
        what = "the remote's HEAD names no branch" if some else "the repository is empty"
        raise WorkspaceFailed(f"{what}: {fix}", permanent=True)


def _branch_of(name: str) -> str:
    """The branch of a ref of the cache; "" for the remote's HEAD."""
    if name.startswith(_STEPS_HERE):
        return f"makima/{name.removeprefix(_STEPS_HERE)}"
    return "" if name == HEAD_REF else name.removeprefix(_HERE)


def _settled(branch: str) -> bool:
    """Whether a branch never changes once it is on the remote: a finished task's. A delivery's grows."""
    return branch.startswith("makima/") and not branch.startswith("makima/directive-")
