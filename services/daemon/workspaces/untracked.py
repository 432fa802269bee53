"""Untracked files that are taken along from a step to the steps that start from its branch, on one daemon (rule 17)."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

MAX_KEPT = 20
"""Of so many branches the files are kept, the newest ones."""
DEEPEST = 200
"""Folders within folders."""
TOO_DEEP = "the files that copy_files names lie in too many folders within folders"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Carried:
    """A folder a branch, under one daemon's folder. Blocking: for a thread.

    Files are reached folder by folder, and never through a link: whatever a repository or an agent has made of the
    folders on the way, nothing outside of a worktree is read or written. Raises OSError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, worktree: Path, branch: str, patterns: Iterable[str]) -> None:
        """Keep what the patterns name in a worktree, for whoever starts from its branch."""
        kept = self._of(branch)
        shutil.rmtree(kept, ignore_errors=True)
        for path in _named(worktree, patterns):
            kept.mkdir(parents=True, exist_ok=True)
            _copy(worktree, kept, path)
        if self._folder.exists():
            by_age = sorted(self._folder.iterdir(), key=lambda f: f.stat().st_mtime, reverse=True)
            for old in by_age[MAX_KEPT:]:
                shutil.rmtree(old, ignore_errors=True)

    def bring(self, worktree: Path, branch: str, patterns: Iterable[str]) -> list[str]:
        """Put what was kept of a branch into a fresh worktree, where nothing is in its place; what was put there."""
        kept = self._of(branch)
        return [str(path) for path in _named(kept, patterns) if _copy(kept, worktree, path)]

    def _of(self, branch: str) -> Path:
        return self._folder / hashlib.sha256(branch.encode()).hexdigest()[:16]


def can_be(pattern: str) -> bool:
    """Whether a pattern may name files of a worktree: relative, within it, and one that can be read."""
    parts = PurePosixPath(pattern).parts
    if not parts or pattern.startswith("/") or "\0" in pattern or ".." in parts or parts[0] == ".git":
        return False
    return all("**" not in part or part == "**" for part in parts)


def _named(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """The files and folders of the patterns that lie in a folder, and not, by a link, somewhere else."""
    root = folder.resolve()
    try:
        found = [p for pattern in patterns if can_be(pattern) for p in root.glob(pattern)]
    except RecursionError:
        raise OSError(errno.ELOOP, TOO_DEEP) from None
    return sorted({p.relative_to(root) for p in found if p != root and p.resolve().is_relative_to(root)})


def _copy(source: Path, target: Path, path: Path) -> bool:
    """Copy a file or a folder from one folder into another; False where it can't be, or something is in its place."""
    with suppress(FileExistsError, NotADirectoryError, FileNotFoundError, _Link):
        with _opened(source, path.parent) as from_, _opened(target, path.parent, makes=True) as into:
            _copy_entry(from_, into, path.name)
        return True
    return False


class _Link(OSError):
    """There is a link on the way."""


@contextmanager
def _opened(root: Path, inner: Path, makes: bool = False) -> Iterator[int]:
    """A folder within another, which may itself be reached by any way; made where it isn't there."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in inner.parts:
            if makes:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=folder)
            try:
                deeper = os.open(part, _FOLDER, dir_fd=folder)
            except OSError as error:
                raise _Link(error.errno, f"{inner} is not reached by folders alone") from None
            os.close(folder)
            folder = deeper
        yield folder
    finally:
        os.close(folder)


def _copy_entry(source: int, target: int, name: str, depth: int = 0) -> None:
    """Copy an entry of one open folder into another. Links are copied as links; pipes, sockets and devices are not."""
    if depth > DEEPEST:
        raise OSError(errno.ELOOP, TOO_DEEP)
    about = os.stat(name, dir_fd=source, follow_symlinks=False)
    if stat.S_ISLNK(about.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    elif stat.S_ISDIR(about.st_mode):
        os.mkdir(name, dir_fd=target)
        inner, made = os.open(name, _FOLDER, dir_fd=source), os.open(name, _FOLDER, dir_fd=target)
        try:
            with os.scandir(inner) as entries:
                for entry in entries:
                    _copy_entry(inner, made, entry.name, depth + 1)
            os.fchmod(made, about.st_mode & 0o777)
        finally:
            os.close(inner)
            os.close(made)
    elif stat.S_ISREG(about.st_mode):
        with (
            os.fdopen(os.open(name, _READ, dir_fd=source), "rb") as read,
            os.fdopen(os.open(name, _MAKE, 0o600, dir_fd=target), "wb") as written,
        ):
            shutil.copyfileobj(read, written, 1 << 20)
            os.fchmod(written.fileno(), about.st_mode & 0o777)
            os.utime(written.fileno(), ns=(about.st_atime_ns, about.st_mtime_ns))
