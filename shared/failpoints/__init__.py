"""Failpoints: named places, before and after each commit and each send, where a test makes the process die or fail.

Nothing happens at them unless MAKIMA_FAILPOINTS names a folder when the process starts. Then a point is armed by a
file of its name that holds what is to happen, `kill` or `exception`; who renames the file away has reached the point,
so that it happens once, whichever process comes first and however often it is restarted.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

FIRED = ".fired"
"""What is appended to the file of a point that was reached."""


class FailpointReached(RuntimeError):
    """An armed failpoint was reached: an error of no kind that the code knows."""


def arm(folder: Path, point: str, action: str) -> None:
    """Let this happen, once, in a process that was started with this folder."""
    draft = folder / f".{point}"
    draft.write_text(action)
    draft.replace(folder / point)


def fired(folder: Path, point: str) -> bool:
    """Whether a point that was armed has been reached."""
    return (folder / f"{point}{FIRED}").exists()


def _in(folder: Path) -> Callable[[str, str], None]:
    def hit(place: str, moment: str) -> None:
        point = f"{place}.{moment}"
        path = folder / point
        if not path.exists():
            return
        taken = folder / f"{point}{FIRED}"
        try:
            action = path.read_text()
            path.rename(taken)
        except FileNotFoundError:
            return  # another process was first
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise FailpointReached(point)

    return hit


def _nothing(place: str, moment: str) -> None:
    """Outside of tests."""


_folder = os.environ.get("MAKIMA_FAILPOINTS")
hit: Callable[[str, str], None] = _in(Path(_folder)) if _folder else _nothing
"""Reach the point `place.moment`. Raises FailpointReached, or never returns, when it is armed."""
