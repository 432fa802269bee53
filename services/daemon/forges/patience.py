"""Asking a forge again while what stands against it passes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.daemon.forges.client import ForgeFailed
from shared.domain.retry import backoff_seconds

T = TypeVar("T")


class Patience:
    """How long a forge is asked again, `seconds` for each question in all; told in words each time it is."""

    def __init__(
        self,
        seconds: float,
        said: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._seconds = seconds
        self._said = said
        self._sleep = sleep
        self._clock = clock
        self._jitter = jitter

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """The answer. Raises ForgeFailed when it would not pass, or not in time."""
        deadline = self._clock() + self._seconds
        failures = 0
        while True:
            try:
                return await question()
            except ForgeFailed as error:
                failures += 1
                seconds = error.wait_seconds or backoff_seconds(failures, self._jitter())
                if not error.passing or self._clock() + seconds > deadline:
                    raise
                self._said(f"{error}: asked again in {seconds:.0f} s")
                await self._sleep(seconds)
