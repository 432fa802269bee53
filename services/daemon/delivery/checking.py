"""The repository's check on a merged result, and when it fails: the step, or the pair of steps, that breaks it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

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
        try:
            outcome = await self._run(commit)
        except BaseException as error:  # a cancellation too: whoever waits for the same tree must not wait for ever
            del self._known[tree]
            future.set_exception(error) if isinstance(error, Exception) else future.cancel()
            if future.done() and not future.cancelled():
                future.exception()  # whoever waits has it; nobody may
            raise
        future.set_result(outcome)
        return outcome


async def culprits(
    count: int, fails: Fails, ways: Callable[[], int] = lambda: 1, spent: Callable[[], int] = lambda: 1
) -> tuple[int, ...]:
    """Of `count` steps whose merge fails: the one that breaks it, or the two that do so together; none: their base.

    First the shortest beginning of the list that fails: its last step is one. Then the shortest beginning that fails
    together with that one. Each is a bisection, over `ways` checks at once where that takes no more than `most_checks`;
    `spent` of them are run so far.
    """
    most = max_checks(count)
    length = await _first(-1, count, lambda n: fails(tuple(range(n))), ways, lambda: most - halvings(count) - spent())
    if length == 0:
        return ()
    last = length - 1
    other = await _first(-1, last, lambda n: fails((*range(n), last)), ways, lambda: most - spent())
    return (last,) if other == 0 else (other - 1, last)


def max_checks(count: int) -> int:
    """How many checks find what breaks the merge of `count` steps, that of all of them included."""
    return 2 * halvings(count) + 2


def halvings(gap: int) -> int:
    """How often a gap is halved, rounded up, until it is 1: the logarithm of base 2."""
    return (gap - 1).bit_length() if gap > 1 else 0


async def _first(
    good: int,
    bad: int,
    fails: Callable[[int], Awaitable[bool]],
    ways: Callable[[], int],
    left: Callable[[], int],
) -> int:
    """The smallest number above `good` that fails, knowing that `bad` does, with `left` checks."""
    while bad - good > 1:
        points = probes(good, bad, affordable(bad - good, ways(), left()))
        for point, failed in zip(points, await _all(fails(p) for p in points), strict=True):
            if failed:
                bad = point
                break
            good = point
    return bad


def affordable(gap: int, ways: int, left: int) -> int:
    """How many checks are run at once: as many as there are ways, while what is left of them is enough for the rest.

    >>> affordable(9, 8, 4), affordable(8, 8, 3)
    (2, 1)
    """
    fitting = (k for k in range(min(ways, gap - 1), 1, -1) if k + halvings(-(-gap // (k + 1))) <= left)
    return next(fitting, 1)


def probes(good: int, bad: int, ways: int) -> Sequence[int]:
    """The numbers between to try at once, at most `ways`, that part the rest evenly.

    >>> probes(0, 8, 1), probes(0, 8, 3)
    ([4], [2, 4, 6])
    """
    ways = min(ways, bad - good - 1)
    return [good + (bad - good) * k // (ways + 1) for k in range(1, ways + 1)]


async def _all(asked: Iterable[Awaitable[bool]]) -> list[bool]:
    """All answers, asked for at once. When one breaks, the others are ended before it is raised."""
    asking = [asyncio.ensure_future(one) for one in asked]
    try:
        return await asyncio.gather(*asking)
    finally:
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
