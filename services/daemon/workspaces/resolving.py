"""A merge that stopped: recorded resolutions first, then an agent, whose resolution is judged natively."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from services.daemon.git.command import GitError, git, names, readable
from services.daemon.git.judging import problems as judged
from services.daemon.git.merging import MergeConflict, Tip, holds
from services.daemon.git.resolving import ROUNDS, notice, sent_back
from services.daemon.workspaces.large_files import fill
from services.daemon.workspaces.work import Worked
from services.daemon.workspaces.workspace import Workspace, WorkspaceFailed

log = structlog.get_logger()

_MERGE = ("-c", "rerere.enabled=true", "-c", "rerere.autoUpdate=true", "merge", "--no-edit", "--no-verify")
_RECORDED = "rr-cache"

RunAgent = Callable[[Path, str], Awaitable[None]]
"""Runs the attempt's agent in a folder with a prompt, to its end. Raises AgentFailed."""


class Checkout:
    """Workspaces at a commit for one delivery, each clean, and what was resolved before in its directive."""

    def __init__(self, make: Callable[[str, str], Awaitable[Workspace]], resolutions: Path) -> None:
        self._make = make
        self._resolutions = resolutions

    async def __call__(self, commit: str, part: str = "") -> Workspace:
        """A workspace. Raises GitError."""
        workspace = await self._make(commit, part)
        self.bring(self._resolutions, workspace)
        return workspace

    @staticmethod
    def bring(resolutions: Path, workspace: Workspace) -> None:
        """Let git know in a workspace what was resolved before."""
        if resolutions.is_dir():
            shutil.copytree(resolutions, workspace.folder / ".git" / _RECORDED, dirs_exist_ok=True)

    async def record(self, conflict: MergeConflict, resolved: str) -> None:
        """Remember how a conflict was resolved, in a checkout that no agent has been in."""
        workspace = await self(conflict.onto, "recorded")
        recorded = workspace.folder / ".git" / _RECORDED
        recorded.mkdir(exist_ok=True)
        try:
            if await merge_in(workspace, conflict.tip.commit, conflict.tip.branch) is None:
                paths = [f":(literal){file}" for file in conflict.files]
                where = {"GIT_OBJECT_DIRECTORY": _objects(workspace)}
                await git(workspace.folder, "checkout", resolved, "--", *paths, **where)
                await git(workspace.folder, "-c", "rerere.enabled=true", "rerere", **where)
                shutil.copytree(recorded, self._resolutions, dirs_exist_ok=True)
        except GitError as error:
            log.info("resolution not recorded", why=str(error))  # as where one side removed the file


class Resolver:
    """Resolves the conflicts of one delivery. `agent` None: by recorded resolutions alone."""

    def __init__(self, checkout: Checkout, agent: RunAgent | None) -> None:
        self._checkout = checkout
        self._agent = agent

    async def __call__(self, conflict: MergeConflict) -> str:
        """The merge commit. Raises the conflict, Unresolved, and what the agent's run raises."""
        workspace = await self._checkout(conflict.onto)
        merged = await merge_in(workspace, conflict.tip.commit, conflict.tip.branch)
        if merged is not None:
            return merged
        if self._agent is None:
            raise conflict
        workspace = await fill(workspace, [conflict.tip.commit])
        resolved = await resolve_with(self._agent, workspace, conflict)
        await self._checkout.record(conflict, resolved)
        return resolved


class Unresolved(RuntimeError):
    """The agent did not resolve a conflict: what is wrong with it, and the conflict."""

    def __init__(self, conflict: MergeConflict, problems: list[str]) -> None:
        self.conflict = conflict
        super().__init__(f"{conflict}; the agent's resolution was refused: {'; '.join(problems)}")


async def merge_in(workspace: Workspace, commit: str, branch: str) -> str | None:
    """Merge in a workspace that no agent has been in; the merge commit, or None when it stopped at conflicts that
    nobody has resolved before. What it makes lies in the cache. Raises GitError."""
    folder, where = workspace.folder, {"GIT_OBJECT_DIRECTORY": _objects(workspace)}
    try:
        await git(folder, *_MERGE, "-m", f"Merge {branch}", commit, **where)
    except GitError:
        stopped = (folder / ".git" / "MERGE_HEAD").exists()
        if not stopped:
            raise
        if await conflicting(workspace):
            return None
        await git(folder, "commit", "--quiet", "--no-verify", "--no-edit", **where)
    return (await git(folder, "rev-parse", "HEAD")).strip()


async def conflicting(workspace: Workspace) -> list[str]:
    """The files that conflict in a workspace that no agent has been in."""
    return sorted(set(await names(workspace.folder, "diff", "--name-only", "--diff-filter=U", "-z")))


async def resolve_with(agent: RunAgent, workspace: Workspace, conflict: MergeConflict) -> str:
    """Have an agent resolve the merge that stopped in a workspace, up to ROUNDS times; the merge commit.

    Raises Unresolved.
    """
    worked = Worked(workspace, f"Resolve the merge of {conflict.tip.branch}")
    prompt, problems = notice(conflict), [""]
    for _ in range(ROUNDS):
        await agent(workspace.folder, prompt)
        resolved, problems = await conclude(worked, conflict)
        if not problems:
            return resolved
        prompt = sent_back(problems, conflict)
    raise Unresolved(conflict, problems)


async def conclude(worked: Worked, conflict: MergeConflict, left: Sequence[Tip] = ()) -> tuple[str, list[str]]:
    """The commit that resolves a conflict, and what is wrong with it, in words; nothing: it is taken.

    A merge that only was not committed is.
    """
    cache = worked.workspace.cache
    assert cache is not None
    if still := await worked.unmerged():
        return "", [readable(f"{f} still conflicts: resolve it and `git add` it") for f in still]
    try:
        head = await worked.resolved()
    except WorkspaceFailed as error:
        return "", [str(error)]
    if not (await holds(cache, head, conflict.onto) and await holds(cache, head, conflict.tip.commit)):
        again = shlex.join(("git", "merge", conflict.tip.commit))
        return head, [f"the merge is not there any more (aborted, or reset): start it again with `{again}`"]
    for tip in left:
        if not await holds(cache, head, tip.commit):
            return head, [f"{tip.branch} is not merged yet: `{shlex.join(('git', 'merge', '--no-edit', tip.commit))}`"]
    return head, await judged(cache, conflict, head)


def _objects(workspace: Workspace) -> str:
    assert workspace.cache is not None
    return str(workspace.cache / "objects")
