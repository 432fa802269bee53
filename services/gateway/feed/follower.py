"""The audit log followed in the order of its numbers.

An event from the bus makes the follower read the log at once; the sweep reads it when none came.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio
import structlog

from services.gateway.feed.clients import PASSING
from services.gateway.rows.events import FOLLOW, SETTLED_POSITION, FollowedEntry
from shared.bus.bus import Bus
from shared.messages.events import AnyEvent
from shared.store.database import UNAVAILABLE, Reader

log = structlog.get_logger()

PAGE = 1000
GAP_SECONDS = 1.0
"""A number that is missing for so long belongs to a transaction that was rolled back; until then it may still come."""
GAP_LOOK_SECONDS = 0.02
FIRST_LOOKS_SECONDS = (0.05, 0.2, 1.0)
"""A subscription takes a moment to reach the publishers: until it has, the log is looked at without being told to."""
BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Between one failure in a row and the next start; after the last, it is given up."""


class Hearer(Protocol):
    """Who is handed what is followed."""

    def entry(self, entry: FollowedEntry) -> None:
        """An entry of the log."""

    def passing(self, event: AnyEvent) -> None:
        """An event that is not in the log."""


class Follower:
    """Reads on from the log's end, for as long as it is wanted. `position` is the last number that was handed out."""

    def __init__(self, reader: Reader, bus: Bus, sweep_seconds: float, hearer: Hearer) -> None:
        self._reader = reader
        self._bus = bus
        self._sweep_seconds = sweep_seconds
        self._hearer = hearer
        self._woken = asyncio.Event()
        self._gap_since: float | None = None
        self._looks = 0
        self.position: int | None = None
        self.settled = asyncio.Event()
        """It knows its position, or has been given up before it did."""
        self.scope = anyio.CancelScope()

    async def follow(self) -> None:
        """Follow until cancelled; start again after an error, ever later. Returns when it is given up."""
        with self.scope:
            failures = 0
            while failures < len(BACKOFF_SECONDS):
                looks = self._looks
                try:
                    await self._run()
                except Exception as error:  # whatever it is: listeners must not hang; counted and logged below
                    failures = 1 if self._looks > looks else failures + 1
                    wait = BACKOFF_SECONDS[failures - 1]
                    log.error("the audit log's follower failed", exc_info=error, failures=failures, again_seconds=wait)
                await anyio.sleep(wait)
            log.error("the audit log's follower was given up", failures=failures)

    async def _run(self) -> None:
        subscriber = self._bus.subscriber()
        loop = asyncio.get_running_loop()
        looks = [loop.call_later(seconds, self._woken.set) for seconds in FIRST_LOOKS_SECONDS]
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._hear, subscriber.receive)
                while True:
                    await _wait(self._woken, await self._look())
        finally:
            for look in looks:
                look.cancel()
            subscriber.close()

    async def _hear(self, receive: Callable[[], Awaitable[AnyEvent]]) -> None:
        while True:
            event = await receive()
            if isinstance(event, PASSING):
                self._hearer.passing(event)
            else:
                self._woken.set()

    async def _look(self) -> float:
        """Read on; the seconds until it is worth another look."""
        self._woken.clear()
        try:
            if self.position is None:
                (self.position,) = await self._reader.fetch(SETTLED_POSITION())
                self.settled.set()
            more = await self._read(self.position)
        except UNAVAILABLE as error:
            log.warning("the audit log can't be read", error=str(error))
            return GAP_SECONDS
        self._looks += 1
        return 0.0 if more else GAP_LOOK_SECONDS if self._gap_since else self._sweep_seconds

    async def _read(self, position: int) -> bool:
        """Hand out what follows the position without a gap; whether there may be more at once."""
        entries = await self._reader.fetch(FOLLOW(after=position, limit=PAGE))
        for entry in entries:
            if entry.seq != position + 1 and not self._gap_is_old():
                return False
            self._gap_since = None
            self.position = position = entry.seq
            self._hearer.entry(entry)
        return len(entries) == PAGE

    def _gap_is_old(self) -> bool:
        """Numbers are drawn before their transaction commits, so a later one may be seen before an earlier one."""
        now = time.monotonic()
        if self._gap_since is None:
            self._gap_since = now
        return now - self._gap_since > GAP_SECONDS


async def _wait(woken: asyncio.Event, seconds: float) -> None:
    if seconds:
        with anyio.move_on_after(seconds):
            await woken.wait()
