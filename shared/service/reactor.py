"""Level-triggered work: an event makes it run now for a directive, a jittered sweep runs it for all."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID

import structlog
from anyio import create_task_group, move_on_after

from shared.metrics import HOPS, RECONCILES
from shared.store.database import UNAVAILABLE

log = structlog.get_logger()

Reconcile = Callable[[frozenset[UUID] | None], Awaitable[None]]
"""Does what is due for these directives, or (None) for all."""

FIRST_BACKOFF_SECONDS = 0.1
LONGEST_BACKOFF_SECONDS = 5.0
ALARM_LATE_SECONDS = 0.005
"""An alarm comes so much later than it is due: what it comes for is due by Postgres's clock, too, when it rings."""
LONGEST_ALARM_SECONDS = 3600.0
LONGEST_WAIT_SECONDS = 1.0
"""While Postgres is away: it is no worse for being asked, and work goes on so soon after its return."""


class Reactor:
    """Runs one `reconcile` for whatever woke it. Errors are caught a directive, and retried with backoff (rule 15)."""

    def __init__(self, reconcile: Reconcile, sweep_seconds: float, rng: random.Random) -> None:
        self._reconcile = reconcile
        self._sweep_seconds = sweep_seconds
        self._rng = rng
        self._woken = asyncio.Event()
        self._due: set[UUID] = set()
        self._all = True
        self._failures = 0
        self._woken_at: float | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def wake(self, directives: Iterable[UUID | None]) -> None:
        """Run soon for these directives; for all, if one of them is None."""
        for directive in directives:
            if directive is None:
                self._all = True
            else:
                self._due.add(directive)
        if self._woken_at is None:
            self._woken_at = time.perf_counter()
        self._woken.set()

    def wake_within(self, seconds: float) -> None:
        """Run for all in so many seconds at the latest; what was asked for earlier than that stands."""
        loop = asyncio.get_running_loop()
        at = loop.time() + min(seconds, LONGEST_ALARM_SECONDS) + ALARM_LATE_SECONDS
        if self._alarm is None or self._alarm.when() > at:
            self._disarm()
            self._alarm = loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self.wake((None,))

    def _disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def run(self, stop: asyncio.Event) -> None:
        """React until `stop` is set."""
        try:
            async with create_task_group() as group:
                group.start_soon(self._wake_at_the_end, stop)
                while not stop.is_set():
                    everything, due = self._all, frozenset(self._due)
                    self._all, self._due = False, set()
                    woken_at, self._woken_at = self._woken_at, None
                    self._woken.clear()
                    await self._attempt(None if everything else due)
                    if woken_at is not None:
                        HOPS.add(time.perf_counter() - woken_at)
                    with move_on_after(self._sweep_seconds * (0.75 + self._rng.random() / 2)) as waiting:
                        await self._woken.wait()
                    self._all = self._all or waiting.cancelled_caught
                group.cancel_scope.cancel()
        finally:
            self._disarm()

    async def _wake_at_the_end(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._woken.set()

    async def _attempt(self, directives: frozenset[UUID] | None) -> None:
        if directives is not None and not directives:
            return
        try:
            await self._reconcile(directives)
            RECONCILES.add("done")
            self._failures = 0
        except UNAVAILABLE as error:
            await self._back_off(error, directives, LONGEST_WAIT_SECONDS)
        except Exception as error:  # noqa: BLE001 - one directive's trouble is not the others': caught, counted, retried
            if directives is not None and len(directives) > 1:
                for directive in directives:
                    await self._attempt(frozenset({directive}))
            else:
                await self._back_off(error, directives)

    async def _back_off(
        self, error: Exception, directives: frozenset[UUID] | None, longest_seconds: float = LONGEST_BACKOFF_SECONDS
    ) -> None:
        self._failures += 1
        seconds = min(FIRST_BACKOFF_SECONDS * 2 ** min(self._failures, 10), longest_seconds)
        names = sorted(str(d) for d in directives or ())
        unexpected = None if isinstance(error, UNAVAILABLE) else error
        RECONCILES.add("failed" if unexpected else "unavailable")
        log.warning("reconcile failed", directives=names, error=str(error), retry_in=seconds, exc_info=unexpected)
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, self.wake, tuple(directives) if directives else (None,))
