"""The repository's check on a merged result, and when it fails: the step, or the pair of steps, that breaks it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

LONG_CHECK_SECONDS = 30.0
"""A check that takes longer is searched for over the free slots at once, which takes more checks but less time."""

Fails = Callable[[tuple[int, ...]], Awaitable[bool]]
"""Whether the check fails on the merge of these places of a list of steps."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a check ended, and its closing output."""

    passed: bool
    output: str


class Checks:
    """Checks of trees, each tree once."""

    def __init__(self, run: Callable[[str], Awaitable[Outcome]]) -> None:
        self._run = run
        self._known: dict[str, asyncio.Future[Outcome]] = {}
        self.longest_seconds = 0.0

    @property
    def count(self) -> int:
        """How many checks were run."""
        return len(self._known)

    async def of(self, tree: str, commit: str) -> Outcome:
        """How the check ends on a tree, which is that of a commit."""
        if tree in self._known:
            return await asyncio.shield(self._known[tree])
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._known[tree] = future
        began = time.monotonic()
        try:
            outcome = await self._run(commit)
        except BaseException as error:  # a cancellation too: whoever waits for the same tree must not wait for ever
            del self._known[tree]
            future.set_exception(error) if isinstance(error, Exception) else future.cancel()
            if future.done() and not future.cancelled():
                future.exception()  # whoever waits has it; nobody may
            raise
        self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
        future.set_result(outcome)
        return outcome


async def culprits(count: int, fails: Fails, ways: Callable[[], int] = lambda: 1) -> tuple[int, ...]:
    """Of `count` steps whose merge fails: the one that breaks it, or the two that do so together; none: their base.

    First the shortest beginning of the list that fails: its last step is one. Then the shortest beginning that fails
    together with that one. Each is a bisection: with one way, 2·log2(count) + 2 checks at most, the first included.
    """
    length = await _first(-1, count, lambda n: fails(tuple(range(n))), ways)
    if length == 0:
        return ()
    last = length - 1
    other = await _first(-1, last, lambda n: fails((*range(n), last)), ways)
    return (last,) if other == 0 else (other - 1, last)


async def _first(good: int, bad: int, fails: Callable[[int], Awaitable[bool]], ways: Callable[[], int]) -> int:
    """The smallest number above `good` that fails, knowing that `bad` does."""
    while bad - good > 1:
        points = probes(good, bad, ways())
        failed = await asyncio.gather(*(fails(p) for p in points))
        for point, so in zip(points, failed, strict=True):
            if so:
                bad = point
                break
            good = point
    return bad


def probes(good: int, bad: int, ways: int) -> Sequence[int]:
    """The numbers between to try at once, at most `ways`, that part the rest evenly.

    >>> probes(0, 8, 1), probes(0, 8, 3)
    ([4], [2, 4, 6])
    """
    room = bad - good - 1
    ways = max(1, min(ways, room))
    return sorted({good + (bad - good) * k // (ways + 1) or good + 1 for k in range(1, ways + 1)} - {good, bad})


RunCheck = Callable[[Path, str], Awaitable[Outcome]]
"""Runs a command in a worktree to its end."""
