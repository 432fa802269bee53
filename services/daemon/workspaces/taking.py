"""The commits that an agent made, taken out of its repository into the daemon's cache: every object by its content.

The daemon's git reads a copy of the agent's objects, packs what its work needs, and the cache unpacks that, which finds
each object's name anew and refuses what is broken or not all there.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from services.daemon.disk import folders
from services.daemon.git.command import GitError, git, git_fed, has
from services.daemon.git.untrusted import AgentRepository
from services.daemon.workspaces.workspace import Workspace, WorkspaceFailed, alternates

UNPACKED_BELOW = 100
"""A pack of fewer objects is stored as loose ones, as git fetch does."""
_COUNT = slice(8, 12)
"""Where a pack says how many objects it holds (gitformat-pack)."""


async def take(workspace: Workspace, repository: AgentRepository, *commits: str) -> None:
    """Bring commits of the agent's repository, and all that they need, into the cache. Raises WorkspaceFailed."""
    cache = workspace.cache
    assert cache is not None
    wanted = [c for c in commits if c != workspace.start and not await has(cache, c)]
    if not wanted:
        return
    objects, pack = workspace.own / "objects", workspace.own / "taken.pack"
    await asyncio.to_thread(copy_objects, repository, objects, cache)
    asked = "".join(f"{line}\n" for line in (*wanted, f"^{workspace.start}")).encode()
    try:
        with pack.open("wb") as out:
            options = ("--revs", "--stdout", "-q", "--delta-base-offset")
            where = {"GIT_OBJECT_DIRECTORY": str(objects)}
            await git_fed(cache, asked, "pack-objects", *options, stdout=out, variables=where)
        with pack.open("rb") as taken:
            few = int.from_bytes(os.pread(taken.fileno(), 12, 0)[_COUNT], "big") < UNPACKED_BELOW
            store = ("unpack-objects", "-q", "--strict") if few else ("index-pack", "--stdin", "--strict")
            await git_fed(cache, taken, *store)
    except GitError as error:
        raise WorkspaceFailed(f"the commits that the agent made can't be taken: {error}") from None


def copy_objects(repository: AgentRepository, objects: Path, cache: Path) -> None:
    """Copy the agent's objects into a folder of their own, which borrows from the cache. Blocking: for a thread."""
    folders.remove(objects)
    (objects / "info").mkdir(parents=True)
    (objects / "info" / "alternates").write_text(alternates(cache))
    repository.copy_objects(objects)


async def made_here(workspace: Workspace, repository: AgentRepository, commit: str) -> bool:
    """Whether the agent's repository itself holds a commit, as after an amend or a rebase."""
    assert workspace.cache is not None
    objects = workspace.own / "objects"
    await asyncio.to_thread(copy_objects, repository, objects, workspace.cache)
    (objects / "info" / "alternates").unlink()  # what the cache has, anybody may have made
    try:
        await git(workspace.cache, "cat-file", "-e", f"{commit}^{{commit}}", GIT_OBJECT_DIRECTORY=str(objects))
    except GitError:
        return False
    return True
