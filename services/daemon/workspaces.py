"""Where attempts work: a bare cache a repository, a worktree an attempt, started, committed, pushed and removed."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import UUID

from services.daemon import folders, holding, wiring
from services.daemon.delivery.merging import MergeConflict, Tip
from services.daemon.delivery.resolving import merge_in, unmerged
from services.daemon.git import GitError, git, is_transient, names, readable
from services.daemon.removal import Removals
from services.daemon.sharing import git_beside_others
from services.daemon.spares import Spares
from services.daemon.wiring import Unwired, Wiring
from shared.domain.delivery import Commit
from shared.domain.names import StepRefs, step_ref
from shared.messages.commands import SpawnTask

REMOTE_HEAD = "refs/makima/head"
"""Where the cache keeps the commit of the remote's HEAD."""
_BRANCHES = "+refs/heads/*:refs/remotes/origin/*"
_STEPS = "+refs/makima/*:refs/remotes/steps/*"
"""Steps' branches that lie outside of the remote's branches, by whichever daemon's setting."""
_HERE, _STEPS_HERE = "refs/remotes/origin/", "refs/remotes/steps/"
MOST_COMMITS = 100
MOST_SUBJECT = 200
_SUBMODULE = "160000"
"""The mode of a commit of another repository."""


class WorkspaceFailed(RuntimeError):
    """Why a workspace can't be made or its work not delivered. `permanent`: trying again can't mend it."""

    def __init__(self, reason: str, permanent: bool = False) -> None:
        self.permanent = permanent
        super().__init__(reason)


@dataclass(frozen=True)
class Workspace:
    """An attempt's folder; with a repository, the cache it belongs to, the commit it began at and its branch there."""

    folder: Path
    cache: Path | None = None
    start: str = ""
    branch: str = ""
    stopped: MergeConflict | None = None
    """A merge of the start that stopped in the folder: whoever works there resolves it first."""
    left: tuple[Tip, ...] = ()
    """What is to be merged after that."""
    ref: str = ""
    """The full name of the branch on the remote."""


@dataclass(frozen=True)
class Work:
    """What an attempt left in its workspace: a commit."""

    head: str
    files: tuple[str, ...] = ()
    """Those that differ from the start."""


class Workspaces:
    """The workspaces under one daemon's folder."""

    def __init__(self, folder: Path, step_refs: StepRefs = "refs/heads", spares: int = 0) -> None:
        """`spares`: how many worktrees are kept for attempts to come."""
        self.folder = folder
        self._step_refs = step_refs
        self._repositories = folder / "repositories"
        self._worktrees = folder / "worktrees"
        self._locks: defaultdict[Path, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._fetched: dict[Path, float] = {}
        self._users: defaultdict[Path, set[tuple[UUID, int]]] = defaultdict(set)
        self._marks: dict[Path, IO[bytes]] = {}
        self._removals = Removals(folder / "removed")
        self._spares = Spares(folder / "spares", spares, self._removals)
        self._wiring = Wiring()

    async def remove_orphans(self) -> None:
        """Remove what an earlier life left: at start nothing is in hand."""
        self._removals.go_on()
        self._removals(self._worktrees, self._spares.folder)
        for folder in (self._worktrees, self._repositories):
            folder.mkdir(parents=True, exist_ok=True)
        for cache in self._repositories.iterdir():
            if cache.suffix != ".git":
                await asyncio.to_thread(folders.remove, cache)
                continue
            for lock in (*cache.glob("*.lock"), *(cache / "refs").rglob("*.lock")):
                lock.unlink(missing_ok=True)
            await asyncio.to_thread(folders.remove, cache / "worktrees")

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
        cache = self._used(command)
        commits = await self._commits(cache, command)
        begin, *merges = commits
        named = ["-B", command.branch] if command.kind not in ("plan", "completion") else ["--detach"]
        if not await self._spares.begin(folder, cache, begin[1], *named):
            await git_beside_others(cache, "worktree", "add", "--quiet", "--force", *named, str(folder), begin[1])
        branch = {"plan": "", "completion": command.target_branch or ""}.get(command.kind, command.branch)
        start = begin[1]
        stopped, left = None, [Tip(branch=name, commit=commit) for name, commit in merges]
        while left and stopped is None:
            tip = left.pop(0)
            stopped = await self._merge(folder, begin[0], tip)
        if merges and stopped is None and command.kind != "completion":
            start = (await git(folder, "rev-parse", "HEAD")).strip()
        if stopped is None and not (merges and command.kind == "completion"):
            await self._spares.note(folder, cache, start)
        ref = step_ref(branch, self._step_refs if command.kind == "step" else "refs/heads")
        return Workspace(folder, cache, start, branch, stopped, tuple(left), ref)

    async def repository(self, command: SpawnTask) -> Path:
        """The cache of a command's repository, brought up to date. Raises WorkspaceFailed."""
        if command.repository_url is None:
            raise WorkspaceFailed("there is no repository to deliver to", permanent=True)
        cache = self._used(command)
        await self._fetch(cache, command)
        return cache

    async def repository_as_it_is(self, command: SpawnTask) -> Path:
        """The cache of a command's repository, made if there is none, not brought up to date. Raises GitError."""
        cache = self._used(command)
        assert command.repository_url is not None
        async with self._locks[cache]:
            await self._create(cache, command.repository_url)
        return cache

    async def branches(self, cache: Path) -> dict[str, str]:
        """The commits of all of the remote's branches; under "" that of its HEAD."""
        return await self._resolve(cache, ("",))

    async def have(self, cache: Path, commits: Iterable[str]) -> set[str]:
        """Those of these commits that the cache has."""
        return {c for c in commits if await _has(cache, c)}

    async def checkout(self, command: SpawnTask, commit: str, part: str = "") -> Path:
        """A clean worktree of the attempt's at a commit; `part` names one beside its first."""
        assert command.repository_url is not None
        cache = self._cache(command.repository_url)
        folder = self._folder(command, part)
        await self.remove(Workspace(folder, cache))
        await git_beside_others(cache, "worktree", "add", "--quiet", "--force", "--detach", str(folder), commit)
        return folder

    def beside(self, command: SpawnTask, folder: Path) -> Workspace:
        """Such a worktree, for an agent to work in."""
        assert command.repository_url is not None
        return Workspace(folder, self._cache(command.repository_url), branch=command.target_branch or "")

    async def checkout_only(self, command: SpawnTask, commit: str, files: str, part: str) -> Path:
        """A worktree beside the attempt's first with no other files than these of a commit."""
        assert command.repository_url is not None
        cache = self._cache(command.repository_url)
        folder = self._folder(command, part)
        await self.remove(Workspace(folder, cache))
        await git_beside_others(
            cache, "worktree", "add", "--quiet", "--force", "--no-checkout", "--detach", str(folder), commit
        )
        await git(folder, "checkout", "--quiet", commit, "--", files)
        return folder

    async def drop(self, command: SpawnTask, part: str) -> None:
        """Remove such a worktree."""
        assert command.repository_url is not None
        await self.remove(Workspace(self._folder(command, part), self._cache(command.repository_url)))

    def put_back(self, workspace: Workspace) -> list[str]:
        """Before git looks at what an agent left: put back what ties it to its repository; what was changed, in words.

        Raises WorkspaceFailed when there is nothing left to look at.
        """
        if workspace.cache is None:
            return []
        try:
            changed = wiring.put_back(workspace.cache, workspace.folder)
        except Unwired as error:
            raise WorkspaceFailed(str(error)) from None
        return [*changed, *self._wiring.put_back(workspace.cache)]

    async def commit(self, workspace: Workspace, command: SpawnTask) -> Work:
        """Commit what is left over. Raises WorkspaceFailed when that isn't the work, or would not be all of it."""
        assert workspace.cache is not None
        if half := wiring.unfinished(workspace.cache, workspace.folder):
            raise WorkspaceFailed(f"the agent left {half} half-way: it must be finished or aborted")
        status = await git(workspace.folder, "status", "--porcelain=v2", "--branch")
        lines = status.splitlines()
        if unmerged := [line.split(" ", 10)[-1] for line in lines if line.startswith("u ")]:
            raise WorkspaceFailed(f"the agent left conflicts unresolved in {', '.join(unmerged)}")
        head = next((line.split()[2] for line in lines if line.startswith("# branch.oid ")), "")
        if any(not line.startswith("#") for line in lines):
            await git(workspace.folder, "add", "--all")
            message = f"{command.name or 'Work'}\n\nMakima-Task: {command.task}"
            await git(workspace.folder, "commit", "--quiet", "--no-verify", "--allow-empty", "-m", message)
            head = (await git(workspace.folder, "rev-parse", "HEAD")).strip()
        if head == workspace.start:
            return Work(head)
        files, _ = await asyncio.gather(_changed(workspace, head), _builds_on_its_start(workspace, head))
        return Work(head, files)

    async def commits(self, workspace: Workspace, work: Work) -> tuple[Commit, ...]:
        """The commits between the start and the work, oldest first; of more than MOST_COMMITS the newest."""
        if workspace.start == work.head:
            return ()
        span = f"{workspace.start}..{work.head}"
        out = await git(workspace.folder, "log", "-z", "--format=%H %s", f"--max-count={MOST_COMMITS}", span)
        lines = (line.partition(" ") for line in reversed(out.split("\0")) if line)
        return tuple(Commit(sha=sha, subject=subject[:MOST_SUBJECT]) for sha, _, subject in lines)

    async def push(self, workspace: Workspace, work: Work) -> None:
        """Push the work to the branch on the remote, never by force. Raises WorkspaceFailed."""
        try:
            await git(workspace.folder, "push", "--quiet", "--porcelain", "origin", f"{work.head}:{workspace.ref}")
        except GitError as error:
            raise WorkspaceFailed(f"the push of {workspace.branch} was refused: {error}") from None

    async def remove(self, workspace: Workspace) -> None:
        """Remove a workspace's folder and the cache's record of it; nothing of it is needed any more."""
        await asyncio.to_thread(folders.remove, workspace.folder)
        if workspace.cache is not None:
            await asyncio.to_thread(folders.remove, workspace.cache / "worktrees" / workspace.folder.name)

    async def discard(self, command: SpawnTask) -> None:
        """Remove whatever stands of an attempt's workspace, made to its end or not, or keep it as a spare."""
        first = self._folder(command)
        await self._spares.keep(first)
        cache = self._cache(command.repository_url) if command.repository_url is not None else None
        for folder in (first, *self._worktrees.glob(f"{first.name}-*")):
            await self.remove(Workspace(folder, cache))
        if cache is not None and (users := self._users[cache]):
            users.discard((command.task, command.attempt))
            if not users and (mark := self._marks.pop(cache, None)):
                mark.close()

    def _folder(self, command: SpawnTask, part: str = "") -> Path:
        return self._worktrees / (f"{command.task.hex}-{command.attempt}" + (f"-{part}" if part else ""))

    def _used(self, command: SpawnTask) -> Path:
        """The cache of a command's repository, in use until the command's workspace is discarded."""
        assert command.repository_url is not None
        cache = self._cache(command.repository_url)
        self._wiring.put_back(cache)
        self._users[cache].add((command.task, command.attempt))
        if cache not in self._marks and (mark := holding.use(cache)):
            self._marks[cache] = mark
        return cache

    def _cache(self, repository_url: str) -> Path:
        return self._repositories / f"{hashlib.sha256(repository_url.encode()).hexdigest()[:16]}.git"

    async def _commits(self, cache: Path, command: SpawnTask) -> list[tuple[str, str]]:
        """The branch to start at and those to merge, in order, each with its commit."""
        target = command.target_branch if command.kind == "completion" else None
        start = command.start_from
        wanted = [start, *command.merge_branches]
        known: dict[str, str] = {}
        if start is not None and target is None and all(_settled(b) for b in wanted if b) and self._wiring.knows(cache):
            known = await self._resolve(cache, (b for b in wanted if b))
        if not known or any(b not in known for b in wanted if b):
            await self._fetch(cache, command)
            asked = [b for b in (target, start, command.base_branch, *command.merge_branches) if b]
            known = await self._resolve(cache, asked)
        if target is not None and target in known:
            begin = (target, known[target])
        elif start is not None:
            if start not in known:
                raise WorkspaceFailed(f"the branch {start!r}, where this task starts, is not on the remote", True)
            begin = (start, known[start])
        elif command.base_branch is not None:
            if command.base_branch not in known:
                raise WorkspaceFailed(f"the base branch {command.base_branch!r} doesn't exist on the remote", True)
            begin = (command.base_branch, known[command.base_branch])
        else:
            begin = ("the remote's HEAD", known[""])
        if missing := [b for b in command.merge_branches if b not in known]:
            raise WorkspaceFailed(f"to be merged, but not on the remote: {', '.join(missing)}", permanent=True)
        return [begin, *((b, known[b]) for b in command.merge_branches)]

    async def _resolve(self, cache: Path, branches: Iterable[str]) -> dict[str, str]:
        """The commits of those of the remote's branches that the cache has; under "" that of its HEAD."""
        wanted = tuple(branches)
        steps = (b.removeprefix("makima/") for b in wanted if b == "" or b.startswith("makima/"))
        patterns = [REMOTE_HEAD, *(_HERE + b for b in wanted), *(_STEPS_HERE + b for b in steps)]
        listed = await git(cache, "for-each-ref", "--format=%(refname) %(objectname)", *patterns)
        return {_branch_of(name): commit for name, commit in (line.split(" ") for line in listed.splitlines())}

    async def _fetch(self, cache: Path, command: SpawnTask) -> None:
        """Bring the cache up to date. A fetch that began after this was asked for serves all who wait for it."""
        assert command.repository_url is not None
        asked = time.monotonic()
        async with self._locks[cache]:
            if self._fetched.get(cache, 0.0) > asked:
                return
            began = time.monotonic()
            fetch = ["fetch", "--quiet", "--prune", "--no-tags", "origin", _BRANCHES, _STEPS]
            try:
                await self._create(cache, command.repository_url)
                try:
                    await git_beside_others(cache, *fetch, f"+HEAD:{REMOTE_HEAD}")
                except GitError as error:
                    if "couldn't find remote ref HEAD" not in error.said:
                        raise
                    await self._fetch_without_head(cache, fetch, command)
            except GitError as error:
                reason = f"{command.repository_url} can't be cloned: {error}"
                raise WorkspaceFailed(reason, permanent=not is_transient(error)) from None
            self._fetched[cache] = began

    async def _fetch_without_head(self, cache: Path, fetch: list[str], command: SpawnTask) -> None:
        """For a remote whose HEAD names no commit."""
        await git_beside_others(cache, *fetch)
        if command.base_branch is None and command.start_from is None:
            some = await git(cache, "for-each-ref", "--count=1", "refs/remotes/origin")
            mend = "name a base branch" if some else "make a first commit"
            what = "the remote's HEAD names no branch" if some else "the repository is empty"
            raise WorkspaceFailed(f"{what}: {mend}", permanent=True)

    async def _create(self, cache: Path, repository_url: str) -> None:
        if self._wiring.knows(cache):
            return
        draft = cache.with_suffix(".new")
        await asyncio.to_thread(folders.remove, draft)
        draft.mkdir(parents=True)
        await git(draft, "init", "--quiet", "--bare", "--template=")
        await git(draft, "remote", "add", "--", "origin", repository_url)
        await git(draft, "config", "--add", "remote.origin.fetch", _STEPS)  # so that what is pushed is known here
        self._wiring.learn(cache, draft / "config")
        if (cache / "HEAD").exists():
            self._wiring.put_back(cache)
            await asyncio.to_thread(folders.remove, draft)
            return
        if mark := holding.use(draft):
            self._marks[cache] = mark
        if cache.exists():  # what an agent left of it
            self._removals(cache)
        draft.rename(cache)

    async def _merge(self, worktree: Path, into: str, tip: Tip) -> MergeConflict | None:
        """Merge in a worktree; the conflict at which it stopped there. Raises WorkspaceFailed."""
        onto = (await git(worktree, "rev-parse", "HEAD")).strip()
        try:
            if await merge_in(worktree, tip.commit, tip.branch):
                return None
        except GitError as error:
            raise WorkspaceFailed(f"{tip.branch} can't be merged into {into}: {error}") from None
        return MergeConflict(onto, tip, into, tuple(await unmerged(worktree)))


async def _changed(workspace: Workspace, head: str) -> tuple[str, ...]:
    """The files that differ from the start. Raises WorkspaceFailed when the content of some would be lost."""
    options = ("--raw", "--no-renames", "--no-abbrev", "-z")
    parts = await names(workspace.folder, "diff", *options, workspace.start, head)
    changes = list(zip(parts[::2], parts[1::2], strict=False))  # ":modes oids status", path
    if nested := [path for change, path in changes if change.split(" ")[1] == _SUBMODULE]:
        try:
            modules = (await git(workspace.folder, "cat-file", "blob", f"{head}:.gitmodules")).splitlines()
        except GitError:
            modules = []
        known = {line.partition("=")[2].strip() for line in modules if line.strip().startswith("path")}
        if lost := [path for path in nested if path not in known]:
            raise WorkspaceFailed(
                f"the agent left a git repository of its own in {readable(', '.join(lost))}: its files are in no "
                "commit here; they must be added without that repository's .git, or as a submodule"
            )
    return tuple(readable(path) for _, path in changes)


async def _builds_on_its_start(workspace: Workspace, head: str) -> None:
    """Raises WorkspaceFailed when it doesn't: to take it would drop the work of others."""
    try:
        await git(workspace.folder, "merge-base", "--is-ancestor", workspace.start, head)
    except GitError as error:
        if error.code != 1:
            raise
        raise WorkspaceFailed(
            f"what the agent has checked out, {head[:12]}, does not build on the commit that it was given, "
            f"{workspace.start[:12]}: it rewrote history under its work, or left another branch checked out"
        ) from None


async def _has(cache: Path, commit: str) -> bool:
    try:
        await git(cache, "cat-file", "-e", f"{commit}^{{commit}}")
    except GitError:
        return False
    return True


def _branch_of(name: str) -> str:
    """The branch of a ref of the cache; "" for the remote's HEAD."""
    if name.startswith(_STEPS_HERE):
        return f"makima/{name.removeprefix(_STEPS_HERE)}"
    return "" if name == REMOTE_HEAD else name.removeprefix(_HERE)


def _settled(branch: str) -> bool:
    """Whether a branch never changes once it is on the remote: a finished task's. A delivery's grows."""
    return branch.startswith("makima/") and not branch.startswith("makima/directive-")
