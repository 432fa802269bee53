"""Worktrees of attempts that have ended, put back as they were, for the next attempts to begin in.

To write a large repository's files anew costs seconds, and to remove them as much. A spare costs a look at each file,
and the writing of those that differ. Nothing of the attempt before is in it: its git folder is a fresh one, its index
the one that the daemon kept itself, what git doesn't know is removed, and what has been touched is written anew.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections import defaultdict
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import structlog

from services.daemon.disk import folders
from services.daemon.disk.removal import Removals
from services.daemon.git.command import GitError, git
from services.daemon.git.contended import git_beside_others

log = structlog.get_logger()

WORTHWHILE_BYTES = 128 << 10
"""Of an index, about 1,500 files: what is smaller is as fast written anew."""
_COUNT = slice(8, 12)
"""Where an index says how many entries it has (gitformat-index)."""
_SUBMODULE = "160000 "
_ATTRIBUTES = (".gitattributes", ":(glob)**/.gitattributes")


@dataclass(frozen=True)
class _Begun:
    """A worktree as an attempt got it: which folder it is, its commit, and a copy of its index."""

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

    async def note(self, worktree: Path, cache: Path, commit: str) -> None:
        """A worktree is about to be handed to an attempt: keep what it takes to put it back."""
        index = _git_folder(cache, worktree) / "index"
        if not self._most or index.stat().st_size < WORTHWHILE_BYTES:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        copy = self.folder / f"{next(self._numbers)}.index"
        await asyncio.to_thread(shutil.copy2, index, copy)  # with its time: git trusts no entry that is younger
        self._begun[worktree] = _Begun(_identity(worktree), cache, commit, copy)

    async def keep(self, worktree: Path) -> None:
        """The attempt is over: put its worktree back and keep it, if it can be one; else it is left where it is."""
        if (begun := self._begun.pop(worktree, None)) is None:
            return
        tree = begun.index.with_suffix(".tree")
        done = asyncio.get_running_loop().create_future()
        self._putting_back[begun.cache].add(done)
        try:
            if _identity(worktree) != begun.identity:
                raise NotKept("it is another folder now")
            worktree.rename(tree)
            await _put_back(tree, begun)
            self._spares.append(_Spare(tree, begun.cache, begun.commit, begun.index))
        except (NotKept, GitError, OSError) as error:
            log.info("worktree not kept", why=str(error))
            self._removals(tree, begun.index)
        finally:
            self._putting_back[begun.cache].discard(done)
            done.set_result(None)
        while len(self._spares) > self._most:
            oldest = self._spares.pop(0)
            self._removals(oldest.tree, oldest.index)

    async def begin(self, worktree: Path, cache: Path, commit: str, *named: str) -> bool:
        """Make a worktree out of a spare; False when none can be one, and nothing is there."""
        while (spare := self._take(cache, commit)) is None:
            if not (coming := self._putting_back[cache]):
                return False
            await asyncio.wait(tuple(coming), return_when=asyncio.FIRST_COMPLETED)
        if spare.commit != commit and not await _written_alike(cache, spare.commit, commit):
            self._spares.append(spare)
            return False
        try:
            await git_beside_others(
                cache, "worktree", "add", "--quiet", "--force", "--no-checkout", *named, str(worktree), commit
            )
            (worktree / ".git").rename(spare.tree / ".git")
            worktree.rmdir()
            spare.tree.rename(worktree)
            spare.index.rename(_git_folder(cache, worktree) / "index")
            if spare.commit != commit:
                await git(worktree, "reset", "--quiet", "--hard", "--no-recurse-submodules")
        except (GitError, OSError) as error:
            log.info("spare not used", why=str(error))
            self._removals(worktree, spare.tree, spare.index, _git_folder(cache, worktree))
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


async def _put_back(tree: Path, begun: _Begun) -> None:
    """Make a tree what it was. Raises NotKept, GitError and OSError."""
    await asyncio.to_thread(folders.remove, tree / ".git")
    where = {"GIT_DIR": str(begun.cache), "GIT_WORK_TREE": str(tree), "GIT_INDEX_FILE": str(begun.index)}
    if any(line.startswith(_SUBMODULE) for line in (await git(tree, "ls-files", "--stage", **where)).splitlines()):
        raise NotKept("it has submodules")
    await git(tree, "clean", "-ffdxq", **where)
    await git(tree, "checkout-index", "--all", "--force", "--index", "--quiet", **where)
    await asyncio.to_thread(_compare, tree, begun)


def _compare(tree: Path, begun: _Begun) -> None:
    """Hold a tree to its index: as many files, each nobody else's, too, all with their permissions. Raises NotKept.

    Git itself doesn't see permissions, nor what happened to a file in the second in which it was written.
    """
    with begun.index.open("rb") as file:
        expected = int.from_bytes(file.read(12)[_COUNT], "big")
    permissions = stat.S_IMODE(begun.identity[2])
    files, waiting = 0, [str(tree)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    allowed = found.st_mode == begun.identity[2] and entry.name != ".git"
                    waiting.append(entry.path)
                else:
                    files += 1
                    ours = stat.S_IMODE(found.st_mode) in (permissions, permissions & 0o666) and found.st_nlink == 1
                    allowed = ours or stat.S_ISLNK(found.st_mode)
                if not allowed:
                    raise NotKept(f"{entry.name!r} is another one, or has other permissions")
    if files != expected:
        raise NotKept(f"it has {files} files instead of {expected}")


def _git_folder(cache: Path, worktree: Path) -> Path:
    return cache / "worktrees" / worktree.name


def _identity(folder: Path) -> tuple[int, int, int]:
    """Which folder it is, whatever its name, and its permissions; not those of what a link leads to."""
    found = folder.lstat()
    return found.st_dev, found.st_ino, found.st_mode
