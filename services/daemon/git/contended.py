"""Git in a repository that others work in at the same time, and where some were ended in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from pathlib import Path

import structlog

from services.daemon.git.command import GitError, git

log = structlog.get_logger()

_TRIES = 10
_BETWEEN_TRIES_SECONDS = 0.05
_LOCKED = re.compile(r"[Uu]nable to create '([^']+\.lock)': File exists")
_LOCK_SECONDS = 4.0
"""A git holds a lock on refs for milliseconds; one so old was left behind by one that was killed."""


async def git_beside_others(cache: Path, *arguments: str) -> None:
    """Fetch while other gits write refs of the same cache, and after gits that were ended in the middle.

    Raises GitError.
    """
    for left in reversed(range(_TRIES)):
        try:
            await git(cache, *arguments)
        except GitError as error:
            locked = _LOCKED.search(error.said)
            if not left or locked is None:
                raise
            await asyncio.sleep(_BETWEEN_TRIES_SECONDS)
            await _unlock(cache, Path(locked[1]))
        else:
            return


async def _unlock(cache: Path, lock: Path) -> None:
    """Wait for the lock of another git; one that nobody gives back is of a git that was ended, and is removed."""
    if not lock.resolve().is_relative_to(cache.resolve()):
        return
    with contextlib.suppress(FileNotFoundError):
        while (age := time.time() - lock.stat().st_mtime) < _LOCK_SECONDS:
            await asyncio.sleep(min(_LOCK_SECONDS - max(age, 0.0), 0.2))
        lock.unlink()
        log.warning("lock removed", lock=str(lock))
