"""Who holds a daemon's folder, and who uses a copy of a repository in it: locks that end with their process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

MARK = "makima-used"
"""In a copy of a repository: locked, shared, by whoever uses it; its time is when it was used last."""


class Held(OSError):
    """Another process holds the folder."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a daemon's folder for this process. Raises Held."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Held(f"another daemon of the name {folder.name!r} runs on {folder}") from None
        yield


def use(repository: Path) -> IO[bytes] | None:
    """Use a copy of a repository from now until this is closed; None: there is none."""
    while True:
        try:
            mark = (repository / MARK).open("ab")
        except (FileNotFoundError, NotADirectoryError):
            return None
        fcntl.flock(mark, fcntl.LOCK_SH)  # who removes it holds it only for as long as renaming takes
        try:
            if os.path.samestat(os.fstat(mark.fileno()), (repository / MARK).stat()):
                os.utime(mark.fileno())
                return mark
        except FileNotFoundError:
            pass
        mark.close()


def used_at(repository: Path) -> float:
    """When it was used last, in seconds since the epoch; before there were marks, when it was fetched last."""
    for name in (MARK, "FETCH_HEAD", "HEAD"):
        try:
            return (repository / name).stat().st_mtime
        except OSError:
            continue
    return 0.0


def in_use(repository: Path) -> bool:
    """Whether anybody uses it now."""
    return not _if_unused(repository, lambda: None)


def take_away(repository: Path, to: Path) -> bool:
    """Rename it, so that nobody begins to use it any more; False: somebody uses it."""
    return _if_unused(repository, lambda: repository.rename(to))


def _if_unused(repository: Path, do: Callable[[], object]) -> bool:
    try:
        mark = (repository / MARK).open("rb")
    except OSError:
        do()
        return True
    with mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        do()
        return True
