"""Whoever waits for an answer is woken by it, whatever became of the listening in between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from services.gateway.feed import waiters
from services.gateway.feed.waiters import Answers
from shared.bus.bus import Bus
from shared.domain.ids import new_id
from shared.messages.events import Event, QuestionAnswered

pytestmark = pytest.mark.anyio


class Subscriber:
    """One that fails, or gives one event and then none."""

    def __init__(self, said: Event | Exception) -> None:
        self._said: list[Event | Exception] = [said]
        self.closed = False

    async def receive(self) -> Event:
        if not self._said:
            await asyncio.Event().wait()
        if isinstance(said := self._said.pop(), Exception):
            raise said
        return said

    def close(self) -> None:
        self.closed = True


class FailingBus:
    """A bus whose first subscribers fail."""

    def __init__(self, *said: Event | Exception) -> None:
        self._said = list(said)
        self.subscribers: list[Subscriber] = []

    def subscriber(self, _: Sequence[type[Event]]) -> Subscriber:
        self.subscribers.append(Subscriber(self._said.pop(0)))
        return self.subscribers[-1]


async def test_an_answer_is_heard_after_listening_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiters, "AGAIN_SECONDS", 0.01)
    question = new_id()
    bus = FailingBus(RuntimeError("broken"), ValueError("again"), QuestionAnswered(question=question))
    async with asyncio.timeout(20), Answers(cast(Bus, bus)).waiting(question) as woken:
        await woken.wait()
    assert [subscriber.closed for subscriber in bus.subscribers[:2]] == [True, True]
