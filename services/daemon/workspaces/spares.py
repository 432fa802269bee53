"""Worktrees of attempts that have ended, put back as they were, for the next attempts to begin in.

To write a large repository's files anew costs seconds, and to remove them as much. A spare costs a look at each file,
and the writing of those that differ. Nothing of the attempt before is in it: its repository is a new one, its index
the one that the daemon kept itself, what git doesn't know is removed, and what has been touched is written anew.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections import defaultdict
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import structlog

from services.daemon.disk import folders
from services.daemon.disk.removal import Removals
from services.daemon.git.command import GitError, git, on_files
from services.daemon.workspaces.beginning import write_files

log = structlog.get_logger()

WORTHWHILE_BYTES = 128 << 10
"""Of an index, about 1,500 files: what is smaller is as fast written anew."""
_COUNT = slice(8, 12)
"""Where an index says how many entries it has (gitformat-index)."""
_SUBMODULE = "160000 "
_ATTRIBUTES = (".gitattributes", ":(glob)**/.gitattributes")


@dataclass(frozen=True)
class _Begun:
    """A worktree as an attempt got it: which folder it is, its commit, and the daemon's index of it."""

    identity: tuple[int, int, int]
    cache: Path
    commit: str
    index: Path


@dataclass(frozen=True)
class _Spare:
    tree: Path
    cache: Path
    commit: str
    index: Path


class NotKept(RuntimeError):
    """Why a worktree can't be put back as it was."""


class Spares:
    """The spares of one daemon, in a folder of their own; `most` of them, the newest ones."""

    def __init__(self, folder: Path, most: int, removals: Removals) -> None:
        self.folder = folder
        """Theirs alone."""
        self._removals = removals
        self._most = most
        self._numbers = count()
        self._begun: dict[Path, _Begun] = {}
        self._spares: list[_Spare] = []
        self._putting_back: defaultdict[Path, set[asyncio.Future[None]]] = defaultdict(set)

    def note(self, worktree: Path, cache: Path, commit: str, index: Path) -> None:
        """A worktree is about to be handed to an attempt: note what it takes to put it back."""
        if self._most and index.stat().st_size >= WORTHWHILE_BYTES:
            self._begun[worktree] = _Begun(_identity(worktree), cache, commit, index)

    async def keep(self, worktree: Path) -> None:
        """The attempt is over: put its worktree back and keep it, if it can be one; else it is left where it is."""
        if (begun := self._begun.pop(worktree, None)) is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        tree = self.folder / f"{next(self._numbers)}.tree"
        index = tree.with_suffix(".index")
        done = asyncio.get_running_loop().create_future()
        self._putting_back[begun.cache].add(done)
        try:
            if _identity(worktree) != begun.identity:
                raise NotKept("it is another folder now")
            worktree.rename(tree)
            begun.index.rename(index)
            await _put_back(tree, index, begun)
            self._spares.append(_Spare(tree, begun.cache, begun.commit, index))
        except (NotKept, GitError, OSError) as error:
            log.info("worktree not kept", why=str(error))
            self._removals(tree, index)
        finally:
            self._putting_back[begun.cache].discard(done)
            done.set_result(None)
        while len(self._spares) > self._most:
            oldest = self._spares.pop(0)
            self._removals(oldest.tree, oldest.index)

    async def begin(self, worktree: Path, cache: Path, commit: str, index: Path) -> bool:
        """Make a worktree and the daemon's index of it out of a spare; False when none can be one, and nothing is
        there."""
        while (spare := self._take(cache, commit)) is None:
            if not (coming := self._putting_back[cache]):
                return False
            await asyncio.wait(tuple(coming), return_when=asyncio.FIRST_COMPLETED)
        if spare.commit != commit and not await _written_alike(cache, spare.commit, commit):
            self._spares.append(spare)
            return False
        try:
            spare.tree.rename(worktree)
            spare.index.rename(index)
            if spare.commit != commit:
                await write_files(worktree, cache, index, commit)
        except (GitError, OSError) as error:
            log.info("spare not used", why=str(error))
            self._removals(worktree, index, spare.tree, spare.index)
            return False
        return True

    def _take(self, cache: Path, commit: str) -> _Spare | None:
        """Of the cache's the one that is at the commit, else the newest."""
        mine = [s for s in self._spares if s.cache == cache]
        if not mine:
            return None
        taken = next((s for s in mine if s.commit == commit), mine[-1])
        self._spares.remove(taken)
        return taken


async def _written_alike(cache: Path, one: str, other: str) -> bool:
    """Whether a file that is the same in two commits is written the same from both: their attributes are."""
    try:
        await git(cache, "diff", "--quiet", one, other, "--", *_ATTRIBUTES)
    except GitError:
        return False
    return True


async def _put_back(tree: Path, index: Path, begun: _Begun) -> None:
    """Make a tree what it was. Raises NotKept, GitError and OSError."""
    await asyncio.to_thread(folders.remove, tree / ".git")
    where = on_files(begun.cache, tree, index)
    if any(line.startswith(_SUBMODULE) for line in (await git(tree, "ls-files", "--stage", **where)).splitlines()):
        raise NotKept("it has submodules")
    await git(tree, "clean", "-ffdxq", **where)
    await git(tree, "checkout-index", "--all", "--force", "--index", "--quiet", **where)
    await asyncio.to_thread(_compare, tree, index, begun.identity)


def _compare(tree: Path, index: Path, identity: tuple[int, int, int]) -> None:
    """Hold a tree to its index: as many files, each nobody else's, too, all with their permissions. Raises NotKept.

    Git itself doesn't see permissions, nor what happened to a file in the second in which it was written.
    """
    with index.open("rb") as file:
        expected = int.from_bytes(file.read(12)[_COUNT], "big")
    permissions = stat.S_IMODE(identity[2])
    files, waiting = 0, [str(tree)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    allowed = found.st_mode == identity[2] and entry.name != ".git"
                    waiting.append(entry.path)
                else:
                    files += 1
                    ours = stat.S_IMODE(found.st_mode) in (permissions, permissions & 0o666) and found.st_nlink == 1
                    allowed = ours or stat.S_ISLNK(found.st_mode)
                if not allowed:
                    raise NotKept(f"{entry.name!r} is another one, or has other permissions")
    if files != expected:
        raise NotKept(f"it has {files} files instead of {expected}")


def _identity(folder: Path) -> tuple[int, int, int]:
    """Which folder it is, whatever its name, and its permissions; not those of what a link leads to."""
    found = folder.lstat()
    return found.st_dev, found.st_ino, found.st_mode
