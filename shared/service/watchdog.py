"""A process whose event loop is stuck ends itself, so that its supervisor can put another in its place."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()

STUCK_SECONDS = 30.0
TELL_SECONDS = 1.0
EXIT_CODE = 70
"""EX_SOFTWARE of sysexits.h."""


class Watchdog:
    """Wants to hear `alive` more often than every `stuck_seconds`; it looks from a thread of its own.

    What it hears it passes on by `tell`, once a second at most.
    """

    def __init__(self, stuck_seconds: float = STUCK_SECONDS, tell: Callable[[], None] = lambda: None) -> None:
        self._stuck_seconds = stuck_seconds
        self._alive_at = time.monotonic()
        self._tell = tell
        self._told_at = self._alive_at

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._look, name="watchdog", daemon=True).start()

    def alive(self) -> None:
        """The loop goes round."""
        self._alive_at = time.monotonic()
        if self._alive_at - self._told_at >= TELL_SECONDS:
            self._told_at = self._alive_at
            self._tell()

    def _look(self) -> None:
        pause = self._stuck_seconds / 10
        while True:
            before = time.monotonic()
            time.sleep(pause)
            now = time.monotonic()
            if now - before > 3 * pause:
                self._alive_at = now  # the whole process was frozen: that says nothing of its loop
            elif now - self._alive_at > self._stuck_seconds:
                log.error("event loop is stuck: the process ends itself", seconds=round(now - self._alive_at, 1))
                os._exit(EXIT_CODE)


async def beat(watchdog: Watchdog, seconds: float = TELL_SECONDS) -> None:
    """Say `alive` from the running loop, for ever."""
    while True:
        watchdog.alive()
        await asyncio.sleep(seconds)
