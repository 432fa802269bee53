"""How sockets in a folder are named, however long or odd the folder's path is.

The kernel takes 107 characters of a socket's path, and URLs have characters of their own. A folder that is held open
has a short name of digits alone, /proc/self/fd/N, which is good in the process that holds it.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

LONGEST_FOLDER = 80
"""Characters of a folder's path that leave room for the longest name of a socket in it."""
_PLAIN = re.compile(r"[A-Za-z0-9/._-]+")
_held: dict[Path, int] = {}


def short(folder: Path) -> Path:
    """A name for this folder that any socket's path and any URL can hold. Makes the folder, for this account alone."""
    if len(str(folder)) <= LONGEST_FOLDER and _PLAIN.fullmatch(str(folder)):
        return folder
    _make(folder)
    descriptor = _held.get(folder)
    if descriptor is None or not os.path.samestat(os.fstat(descriptor), folder.stat()):
        descriptor = _held[folder] = hold(folder)
    return named(descriptor)


def to_connect(path: Path) -> Path:
    """A name for this socket that the kernel takes. Makes nothing: raises FileNotFoundError where its folder isn't."""
    path.parent.stat()
    return short(path.parent) / path.name


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A socket of this account's alone, bound; its folder must be there.

    Takes the place of one that was there: who died leaves its own, and of two the newest has it.
    """
    path = short(path.parent) / path.name
    draft = path.with_name(f".{os.getpid()}.sock")
    draft.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(draft))
        draft.chmod(0o600)
        mine = draft.stat().st_ino
        draft.replace(path)
        try:
            yield bound
        finally:
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == mine:
                    path.unlink()


def hold(folder: Path) -> int:
    """A descriptor of a folder, by which a process that inherits it needs no way through the folders above."""
    return os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def named(descriptor: int) -> Path:
    """The path of what a descriptor of this process stands for."""
    return Path("/proc/self/fd") / str(descriptor)


def held() -> tuple[int, ...]:
    """The descriptors behind short names: for a child process of ours that is told such a name."""
    return tuple(_held.values())


def _make(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this account alone."""
    if not folder.parent.exists():
        _make(folder.parent)
    folder.mkdir(exist_ok=True, mode=0o700)
