"""This process as the parent of what its descendants leave behind: told apart from its own programs, and reaped."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from services.daemon.processes import programs

_PROC = Path("/proc")
_PR_SET_CHILD_SUBREAPER = 36


class Adoption:
    """Linux: PR_SET_CHILD_SUBREAPER."""

    def __init__(self) -> None:
        self.is_on = False
        self._zombies: set[int] = set()

    def begin(self) -> None:
        """Adopt from now on, where the kernel can."""
        with contextlib.suppress(OSError, AttributeError):
            self.is_on = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0

    def reap(self) -> None:
        """Reap adopted processes that have ended. One that the event loop started is reaped by it, at once."""
        if not self.is_on:
            return
        zombies = {process for process, state in _children() if state == "Z"}
        for process in zombies & self._zombies:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process, os.WNOHANG)
        self._zombies = zombies

    def strays(self, candidates: Collection[int]) -> list[int] | None:
        """Of these children, those that this process adopted; None while that can't be told.

        Only its own list of what it started counts, never what a process says of itself. To be called where programs
        are started: in the event loop's thread.
        """
        known = programs.started.known
        return None if known is None else [child for child in candidates if child not in known]


adoption = Adoption()


def orphans(others: Collection[bytes]) -> list[int]:
    """This process's live children that carry none of these marks; its own programs are among them. For a thread."""
    found = []
    for process, state in _children():
        if state in "ZX":
            continue
        try:
            variables = (_PROC / str(process) / "environ").read_bytes().split(b"\0")
        except PermissionError:
            variables = []  # it hides them, and so its marks
        except OSError:
            continue  # it has ended
        if not any(variable in others for variable in variables):
            found.append(process)
    return found


def _children() -> Iterator[tuple[int, str]]:
    """This process's children, each with its state."""
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue  # it has ended
        if int(parent) == os.getpid():
            yield int(entry.name), state
