"""What an agent's repository says, read as text and copied as files: no git of the daemon ever runs in it.

An agent may have written every file of it. Nothing is followed out of the folder, nothing is read without a limit, and
what isn't as git writes it counts as not there. https://git-scm.com/docs/gitrepository-layout
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

MAX_TEXT_BYTES = 64 << 20
"""Of a packed-refs file or of exclude patterns."""
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"refs/[^\x00-\x20\x7f~^:?*\[\\]+")
_LOOSE_FOLDER = re.compile(r"[0-9a-f]{2}")
_LOOSE = re.compile(r"[0-9a-f]{38}|[0-9a-f]{62}")
_PACK = re.compile(r"pack-[0-9a-f]{40,64}\.(pack|idx)")
_SYMBOLIC_DEPTH = 5


class Unreadable(RuntimeError):
    """Why a repository that an agent left can't be read, in words."""


class AgentRepository:
    """The git directory of a workspace as an agent left it."""

    def __init__(self, git_folder: Path, inside: tuple[str, ...] = ()) -> None:
        """`inside`: where a submodule's lies in it."""
        self._root = git_folder
        self._inside = inside

    def head(self) -> str:
        """The commit that is checked out. Raises Unreadable."""
        name = "HEAD"
        for _ in range(_SYMBOLIC_DEPTH):
            said = self._text(name, 4096)
            if said is None:
                if (packed := self._packed(name)) is None:
                    break
                return packed
            said = said.strip()
            if _COMMIT.fullmatch(said):
                return said
            name = said.removeprefix("ref:").strip() if said.startswith("ref:") else ""
            if not _REF.fullmatch(name) or ".." in name:
                break
        raise Unreadable("the agent left its repository without a commit that is checked out: its work can't be told")

    def merge_heads(self) -> tuple[str, ...]:
        """What is being merged there."""
        said = self._text("MERGE_HEAD", 1 << 16) or ""
        return tuple(line for line in said.split() if _COMMIT.fullmatch(line))

    def merge_message(self) -> str:
        """The message that the merge under way would get, without comments."""
        said = self._text("MERGE_MSG", 1 << 16) or ""
        return "\n".join(line for line in said.splitlines() if not line.startswith("#")).strip()

    def unfinished(self) -> str | None:
        """What of git's own undertakings was left half-way, whose commit isn't the work."""
        if any(self._is_there(name) for name in ("rebase-merge", "rebase-apply")):
            return "a rebase"
        return "a bisection" if self._is_there("BISECT_LOG") else None

    def excluded(self) -> str:
        """The patterns of its info/exclude."""
        return self._text("info/exclude", MAX_TEXT_BYTES) or ""

    def copy_index(self, to: Path) -> bool:
        """Copy its index; False where there is none."""
        with suppress(OSError), opened(self._root, "/".join((*self._inside, "index"))) as file, to.open("wb") as copy:
            _copy(file, copy.fileno())
            return True
        return False

    def large_object(self, oid: str) -> AbstractContextManager[int]:
        """An object that its git-lfs stored, opened. Raises OSError on entering."""
        return opened(self._root, "/".join((*self._inside, "lfs/objects", oid[:2], oid[2:4], oid)))

    def copy_objects(self, to: Path) -> None:
        """Copy the objects that it made, loose and packed, into a folder of objects. Raises OSError."""
        with suppress(OSError), _folder(self._root, *self._inside, "objects") as objects:
            for name in _names(objects):
                if _LOOSE_FOLDER.fullmatch(name):
                    _copy_files(objects, name, _LOOSE, to / name)
            _copy_files(objects, "pack", _PACK, to / "pack")

    def _packed(self, name: str) -> str | None:
        for line in (self._text("packed-refs", MAX_TEXT_BYTES) or "").splitlines():
            commit, _, ref = line.partition(" ")
            if ref == name and _COMMIT.fullmatch(commit):
                return commit
        return None

    def _text(self, name: str, limit: int) -> str | None:
        with suppress(OSError), opened(self._root, "/".join((*self._inside, name))) as file:
            said = b""
            while len(said) <= limit and (part := os.read(file, 1 << 20)):
                said += part
            return said.decode(errors="surrogateescape") if len(said) <= limit else None
        return None

    def _is_there(self, name: str) -> bool:
        return os.path.lexists(self._root.joinpath(*self._inside, name))


@contextmanager
def _folder(root: Path, *parts: str) -> Iterator[int]:
    """A folder below a root, opened without following a link on the way. Raises OSError."""
    opened = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for part in parts:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=opened)
            os.close(opened)
            opened = below
        yield opened
    finally:
        os.close(opened)


@contextmanager
def opened(root: Path, name: str) -> Iterator[int]:
    """A regular file below a root, opened without following a link on the way. Raises OSError."""
    *folders, last = name.split("/")
    with _folder(root, *folders) as above:
        file = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(f"{name} is no file")
        yield file
    finally:
        os.close(file)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _copy_files(above: int, name: str, wanted: re.Pattern[str], to: Path) -> None:
    with suppress(OSError):
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        try:
            for file in _names(folder):
                if wanted.fullmatch(file):
                    to.mkdir(parents=True, exist_ok=True)
                    _copy_file(folder, file, to / file)
        finally:
            os.close(folder)


def _copy_file(folder: int, name: str, to: Path) -> None:
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        if stat.S_ISREG(os.fstat(source).st_mode):
            with to.open("wb") as copy:
                _copy(source, copy.fileno())
    finally:
        os.close(source)


def _copy(source: int, to: int) -> None:
    left = os.fstat(source).st_size
    while left > 0 and (sent := os.sendfile(to, source, None, left)):
        left -= sent
