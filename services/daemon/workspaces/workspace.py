"""What an attempt works in: its folder and how it began; and why there is none, or its work can't be delivered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.daemon.git.merging import MergeConflict, Tip


class WorkspaceFailed(RuntimeError):
    """Why a workspace can't be made or its work not delivered. `permanent`: trying again can't mend it."""

    def __init__(self, reason: str, permanent: bool = False) -> None:
        self.permanent = permanent
        super().__init__(reason)


@dataclass(frozen=True)
class Workspace:
    """An attempt's folder; with a repository, the cache it belongs to, the commit it began at and its branch there."""

    folder: Path
    cache: Path | None = None
    start: str = ""
    branch: str = ""
    stopped: MergeConflict | None = None
    """A merge of the start that stopped in the folder: whoever works there resolves it first."""
    left: tuple[Tip, ...] = ()
    """What is to be merged after that."""
    ref: str = ""
    """The full name of the branch on the remote."""
