"""Which steps break a check: named rightly, in few checks, however many run at once."""

from __future__ import annotations

import asyncio
from itertools import combinations

import pytest

from services.daemon.delivery.checking import Checks, Outcome, culprits, max_checks


def search(count: int, guilty: tuple[int, ...], ways: int) -> tuple[tuple[int, ...], int, int]:
    """Who is named, in how many checks, in how many rounds of checks at once."""
    known: set[tuple[int, ...]] = {tuple(range(count))}
    rounds: list[int] = []

    async def fails(places: tuple[int, ...]) -> bool:
        known.add(places)
        if not rounds or rounds[-1] == 0:
            rounds.append(0)
        rounds[-1] += 1
        await asyncio.sleep(0)
        if rounds[-1]:
            rounds.append(0)
        return set(guilty) <= set(places)

    named = asyncio.run(culprits(count, fails, lambda: ways, lambda: len(known)))
    return named, len(known), sum(1 for r in rounds if r)


@pytest.mark.parametrize("ways", [1, 2, 4, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
def test_whoever_breaks_it_is_named_in_the_promised_number_of_checks(count: int, ways: int) -> None:
    for guilty in [(), *combinations(range(count), 1), *combinations(range(count), 2)]:
        named, checks, _ = search(count, guilty, ways)
        assert named == guilty
        assert checks <= max_checks(count), (guilty, checks)


def test_the_promise_for_eight_steps_is_eight_checks() -> None:
    assert max_checks(8) == 2 * 3 + 2


def test_with_more_ways_the_pair_is_named_after_fewer_rounds() -> None:
    assert search(8, (2, 6), 4)[2] < search(8, (2, 6), 1)[2]


def test_a_tree_is_checked_once_whoever_asks_for_it_meanwhile() -> None:
    ran: list[str] = []

    async def run(commit: str) -> Outcome:
        ran.append(commit)
        await asyncio.sleep(0)
        return Outcome(passed=False, output=commit)

    async def both() -> list[Outcome]:
        checks = Checks(run)
        return [*await asyncio.gather(checks.of("tree", "a"), checks.of("tree", "b")), await checks.of("tree", "c")]

    assert {o.output for o in asyncio.run(both())} == {"a"} and ran == ["a"]
