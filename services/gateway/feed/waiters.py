"""Whoever waits for an answer, woken by the event that it was given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import structlog

from shared.bus.bus import Bus
from shared.messages.events import QuestionAnswered

log = structlog.get_logger()

AGAIN_SECONDS = 0.5


class Answers:
    """Wakes whoever waits for an answer. Listens to the bus while anybody does, and not otherwise."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[UUID, list[asyncio.Event]] = {}
        self._hearing: asyncio.Task[None] | None = None
        self._closed = False

    @asynccontextmanager
    async def waiting(self, question: UUID) -> AsyncIterator[asyncio.Event]:
        """An event that is set when the question was settled, by whichever gateway or monitor."""
        woken = asyncio.Event()
        if self._closed:
            woken.set()
        self._waiting.setdefault(question, []).append(woken)
        if self._hearing is None or self._hearing.done():
            self._hearing = asyncio.create_task(self._hear())
        try:
            yield woken
        finally:
            self._waiting[question].remove(woken)
            if not self._waiting[question]:
                del self._waiting[question]
            if not self._waiting:
                self._hearing.cancel()
                self._hearing = None

    def wake(self, question: UUID) -> None:
        """The question was settled here."""
        for woken in self._waiting.get(question, ()):
            woken.set()

    def close(self) -> None:
        """Nothing more is heard here: whoever waits looks once more, and asks again elsewhere."""
        self._closed = True
        for waiting in self._waiting.values():
            for woken in waiting:
                woken.set()

    async def _hear(self) -> None:
        """Listen until nobody waits; after an error, once more."""
        while True:
            try:
                await self._listen()
            except Exception as error:  # whatever it is: who waits must not hang; logged, and tried again
                log.error("answers are not heard", exc_info=error, again_seconds=AGAIN_SECONDS)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _listen(self) -> None:
        subscriber = self._bus.subscriber([QuestionAnswered])
        try:
            while True:
                event = await subscriber.receive()
                if isinstance(event, QuestionAnswered) and event.question is not None:
                    self.wake(event.question)
        finally:
            subscriber.close()
