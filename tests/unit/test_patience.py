"""A forge that is away is asked again, ever more rarely, until it answers or patience ends: on the test's clock."""

from __future__ import annotations

import asyncio

import pytest

from services.daemon.forges.client import ForgeFailed
from services.daemon.forges.patience import Patience


class Away:
    """A forge that is away until a time, on a clock that only waiting moves."""

    def __init__(self, until: float, patience: float = 300.0, **refusal: object) -> None:
        self.now = 1000.0
        self.back = self.now + until
        self.refusal = refusal
        self.asked: list[float] = []
        self.said: list[str] = []
        self.patience = Patience(patience, self.said.append, self.sleep, lambda: self.now, lambda: 0.5)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def question(self) -> str:
        self.asked.append(self.now - 1000)
        if self.now < self.back:
            raise ForgeFailed("hub can't be asked", **{"passing": True, **self.refusal})  # type: ignore[arg-type]
        return "there"

    def ask(self) -> str:
        return asyncio.run(self.patience.ask(self.question))


def test_a_forge_that_is_down_for_a_minute_is_asked_again_ever_more_rarely() -> None:
    away = Away(until=60)
    assert away.ask() == "there"
    assert away.asked == [0, 1, 3, 7, 15, 31, 63]
    assert away.said[0] == "hub can't be asked: asked again in 1 s" and len(away.said) == 6


def test_patience_ends_and_the_forges_words_are_the_reason() -> None:
    away = Away(until=3600)
    with pytest.raises(ForgeFailed, match="hub can't be asked"):
        away.ask()
    assert away.asked[-1] == 255, "256 more seconds would be over its patience"


def test_a_forge_that_says_when_is_asked_then() -> None:
    away = Away(until=90, wait_seconds=90.0)
    assert away.ask() == "there" and away.asked == [0, 90]


def test_a_forge_that_wants_to_be_left_alone_for_longer_is_not_waited_for() -> None:
    away = Away(until=3600, wait_seconds=3600.0)
    with pytest.raises(ForgeFailed):
        away.ask()
    assert away.asked == [0]


def test_what_does_not_pass_is_not_asked_again() -> None:
    away = Away(until=1, passing=False)
    with pytest.raises(ForgeFailed):
        away.ask()
    assert away.asked == [0]
