"""An asyncio loop on virtual time: when nothing can run, the clock jumps to the next timer. It never waits."""

from __future__ import annotations

import asyncio
import itertools
import selectors
from collections.abc import Coroutine
from contextvars import Context
from typing import Any


class NothingLeft(RuntimeError):
    """Everything waits for something that will never come."""


class _Jump(selectors.SelectSelector):
    """A selector that finds nothing and passes the time instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Pass `timeout` seconds of virtual time."""
        if timeout is None:
            raise NothingLeft
        self.loop.passed += max(timeout, 0.0)
        return []


class _Numbered(asyncio.Task[Any]):
    """A task with its number as its hash: sets of tasks are cancelled in an order that doesn't lie in addresses."""

    def __init__(
        self,
        number: int,
        coroutine: Coroutine[Any, Any, Any],
        loop: asyncio.AbstractEventLoop,
        name: str | None = None,
        context: Context | None = None,
    ) -> None:
        self._number = number
        super().__init__(coroutine, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its `time()` starts at 0 and is `passed` seconds."""

    def __init__(self) -> None:
        self.passed = 0.0
        selector = _Jump()
        selector.loop = self
        super().__init__(selector)
        numbers = itertools.count()
        self.set_task_factory(
            lambda loop, coroutine, context=None: _Numbered(next(numbers), coroutine, loop, context=context)
        )

    def time(self) -> float:
        """Seconds of virtual time."""
        return self.passed
