"""Whether the machine has the memory and the disk that more work takes; with margins, so as not to waver."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
import structlog

from shared.config import Settings

log = structlog.get_logger()

MEMORY_MARGIN_PERCENT = 5.0
"""So much of the memory must be free again, beyond what is wanted, before work is taken again."""
DISK_MARGIN = 1.25
"""So many times the room that is wanted must be there again."""
_FULL = "no space left on device where it keeps its work"


class Headroom:
    """What one daemon has room for. `write` writes to its disk, and raises OSError when that can't be done."""

    def __init__(self, settings: Settings, folder: Path, write: Callable[[], None]) -> None:
        self._settings = settings
        self._folder = folder
        self._write = write
        self._fix = f"free some of {folder}"
        self._memory_refuses: str | None = None
        self._disk_refuses: str | None = None

    @property
    def refuses(self) -> str | None:
        """Why no more work can be taken; None: it can."""
        return self._disk_refuses or self._memory_refuses

    def look(self) -> bool:
        """Look again; whether anything changed."""
        before = (self._memory_refuses, self._disk_refuses)
        self._look_at_memory()
        self._look_at_disk()
        return before != (self._memory_refuses, self._disk_refuses)

    def not_written(self, error: OSError) -> bool:
        """The disk refused; whether that is news."""
        if self._disk_refuses:
            return False
        log.error("journal can't be written", error=str(error))
        self._disk_refuses = f"its disk can't be written ({error.strerror}); {self._fix}"
        return True

    def _look_at_memory(self) -> None:
        most = self._settings.max_memory_percent
        used = psutil.virtual_memory().percent
        short = used >= most - (MEMORY_MARGIN_PERCENT if self._memory_refuses else 0.0)
        if short != (self._memory_refuses is not None):
            self._memory_refuses = f"{used:.0f} % of its memory is in use, at most {most:g} %" if short else None
            log.info("memory", refuses=self._memory_refuses)

    def _look_at_disk(self) -> None:
        least = self._settings.min_disk_mib
        free_mib = shutil.disk_usage(self._folder).free >> 20
        short = free_mib < least * (DISK_MARGIN if self._disk_refuses else 1)
        if short == (self._disk_refuses is not None):
            return
        if not short:
            try:
                self._write()
            except OSError:
                return
        self._disk_refuses = (
            f"{_FULL}: {free_mib} MiB left, at least {least} are wanted; {self._fix}" if short else None
        )
        log.info("disk", refuses=self._disk_refuses)
