"""The bus as a doorbell: whoever waits for something about a directive is woken, and looks at the rows again."""

from __future__ import annotations

import asyncio
from uuid import UUID

from shared.bus.events import Subscriber

RECHECK_SECONDS = 2.0
"""Events may be lost: rows are looked at this often in any case."""


class Feed:
    """Wakes all who wait, by directive."""

    def __init__(self) -> None:
        self._waiting: dict[UUID | None, set[asyncio.Event]] = {}

    async def listen(self, subscriber: Subscriber) -> None:
        """Wake with every event, for ever."""
        while True:
            event = await subscriber.receive()
            for key in {event.directive, None}:
                for bell in self._waiting.get(key, ()):
                    bell.set()

    def subscribe(self, directive: UUID | None) -> Subscription:
        """Begin to listen for a directive (None: for all), before the rows are read."""
        return Subscription(self._waiting, directive)


class Subscription:
    """One listener, for as long as the `with` block lasts."""

    def __init__(self, waiting: dict[UUID | None, set[asyncio.Event]], directive: UUID | None) -> None:
        self._waiting = waiting
        self._directive = directive
        self._bell = asyncio.Event()

    def __enter__(self) -> Subscription:
        self._waiting.setdefault(self._directive, set()).add(self._bell)
        return self

    def __exit__(self, *_: object) -> None:
        listeners = self._waiting[self._directive]
        listeners.discard(self._bell)
        if not listeners:
            del self._waiting[self._directive]

    async def rung(self, seconds: float) -> None:
        """Return once something happened, or after at most so many seconds (and at most RECHECK_SECONDS)."""
        try:
            await asyncio.wait_for(self._bell.wait(), min(seconds, RECHECK_SECONDS))
        except TimeoutError:
            return  # time to look at the rows anyway
        self._bell.clear()
