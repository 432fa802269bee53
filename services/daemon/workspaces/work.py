"""What an agent left in its workspace: looked at, committed and pushed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from services.daemon.git.command import GitError, git, names, readable
from services.daemon.workspaces import tamper
from services.daemon.workspaces.workspace import Workspace, WorkspaceFailed
from shared.domain.delivery import Commit
from shared.messages.commands import SpawnTask

MOST_COMMITS = 100
MOST_SUBJECT = 200
"""Of a commit's subject, in characters."""
_SUBMODULE = "160000"
"""The mode of a commit of another repository."""


@dataclass(frozen=True)
class Work:
    """What an attempt left in its workspace: a commit."""

    head: str
    files: tuple[str, ...] = ()
    """Those that differ from the start."""


async def commit(workspace: Workspace, command: SpawnTask) -> Work:
    """Commit what is left over. Raises WorkspaceFailed when that isn't the work, or would not be all of it."""
    assert workspace.cache is not None
    if half := tamper.unfinished(workspace.cache, workspace.folder):
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


async def commits(workspace: Workspace, work: Work) -> tuple[Commit, ...]:
    """The commits between the start and the work, oldest first; of more than MOST_COMMITS the newest."""
    if workspace.start == work.head:
        return ()
    span = f"{workspace.start}..{work.head}"
    out = await git(workspace.folder, "log", "-z", "--format=%H %s", f"--max-count={MOST_COMMITS}", span)
    lines = (line.partition(" ") for line in reversed(out.split("\0")) if line)
    return tuple(Commit(sha=sha, subject=subject[:MOST_SUBJECT]) for sha, _, subject in lines)


async def push(workspace: Workspace, work: Work) -> None:
    """Push the work to the branch on the remote, never by force. Raises WorkspaceFailed."""
    try:
        await git(workspace.folder, "push", "--quiet", "--porcelain", "origin", f"{work.head}:{workspace.ref}")
    except GitError as error:
        raise WorkspaceFailed(f"the push of {workspace.branch} was refused: {error}") from None


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
