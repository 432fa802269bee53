"""The daemon's copies of large objects, beside its copy of their repository: each by its sha256, none unproven.

They lie where git-lfs looks for what a repository borrows: `lfs/objects` beside the `objects` that it borrows.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from services.daemon.git.pointers import Pointer
from shared.failpoints import hit

_PART = 1 << 20
_SCRATCH = "tmp"
_PAST = 2 * 10**9
"""Nanoseconds: more than the second in which git can't tell one state of a file from the next."""


class Store:
    """That of one copy of a repository. Blocking: for a thread."""

    def __init__(self, cache: Path) -> None:
        self._lfs = cache / "lfs"
        self.folder = self._lfs / "objects"

    def path(self, oid: str) -> Path:
        """Where an object is, if it is there."""
        return self.folder / oid[:2] / oid[2:4] / oid

    def has(self, pointer: Pointer) -> bool:
        """Whether it has an object."""
        try:
            return self.path(pointer.oid).stat().st_size == pointer.size
        except OSError:
            return False

    def take(self, file: int, expected: Pointer | None = None) -> Pointer:
        """Copy an open file into it; what it is. Raises ValueError for another than is expected, and OSError."""
        os.lseek(file, 0, os.SEEK_SET)
        hashed, size = hashlib.sha256(), 0
        with tempfile.NamedTemporaryFile(dir=self.beside(), delete=False) as draft:
            try:
                while part := os.read(file, _PART):
                    hashed.update(part)
                    draft.write(part)
                    size += len(part)
                    if expected is not None and size > expected.size:
                        break
                found = Pointer(hashed.hexdigest(), size)
                if expected is not None and found != expected:
                    raise ValueError("its content is another one than its pointer says")
                draft.flush()
                os.fchmod(draft.fileno(), 0o444)
                place = self.path(found.oid)
                place.parent.mkdir(parents=True, exist_ok=True)
                hit("daemon.large_object", "before_keep")
                os.fsync(draft.fileno())
                Path(draft.name).rename(place)
                hit("daemon.large_object", "after_keep")
            except BaseException:  # a cancellation too: no draft is left, and whoever asked hears of it
                Path(draft.name).unlink(missing_ok=True)
                raise
        return found

    def lay_out(self, pointer: Pointer, to: Path) -> None:
        """Give a file, in a folder that no agent has been in, the content of an object. Raises OSError.

        It is made older than it is: of a file as young as its index git looks at the content each time.
        """
        source = os.open(self.path(pointer.oid), os.O_RDONLY | os.O_CLOEXEC)
        try:
            target = os.open(to, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                _copy(source, target, pointer.size)
                past = time.time_ns() - _PAST
                os.utime(target, ns=(past, past))
            finally:
                os.close(target)
        finally:
            os.close(source)

    def beside(self) -> Path:
        """A folder for what isn't in the store yet, on the same disk."""
        place = self._lfs / _SCRATCH
        place.mkdir(parents=True, exist_ok=True)
        return place

    def clear(self) -> None:
        """Remove what an earlier life left half-done."""
        shutil.rmtree(self._lfs / _SCRATCH, ignore_errors=True)


def _copy(source: int, target: int, size: int) -> None:
    """Copy all of a file; where the file system can, without copying what it holds."""
    done = 0
    while done < size:
        try:
            copied = os.copy_file_range(source, target, size - done)
        except OSError:
            copied = os.sendfile(target, source, None, size - done)
        if not copied:
            raise OSError(f"an object of {size} bytes ends after {done}")
        done += copied
