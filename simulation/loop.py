"""An asyncio loop on virtual time: when nothing can run, the clock jumps to the next timer. It never waits."""

from __future__ import annotations

import asyncio
import selectors


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


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its `time()` starts at 0 and is `passed` seconds."""

    def __init__(self) -> None:
        self.passed = 0.0
        selector = _Jump()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Seconds of virtual time."""
        return self.passed
