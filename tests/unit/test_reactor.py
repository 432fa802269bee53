"""The reactor: it does what woke it, keeps errors to their directive, tries again, and looks at everything at times."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from shared.domain.ids import new_id
from shared.metrics import RECONCILES
from shared.service.reactor import Reactor

pytestmark = pytest.mark.anyio
BAD, GOOD, OTHER = new_id(), new_id(), new_id()
WAIT_SECONDS = 10.0


def failures() -> float:
    """How often anything was reconciled in this process, and failed."""
    return RECONCILES.values.get(("failed",), 0)


class Reconciling:
    """Does what is due; refuses whatever has to do with one directive, so many times."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.seen: list[frozenset[UUID] | None] = []
        self.done: set[UUID] = set()
        self._changed = asyncio.Event()

    async def __call__(self, directives: frozenset[UUID] | None) -> None:
        self.seen.append(directives)
        self._changed.set()
        if directives is not None and BAD in directives and self.refusals:
            self.refusals -= 1
            raise RuntimeError("not this one")
        self.done |= directives or set()

    async def until_done(self, *directives: UUID) -> None:
        while not self.done >= set(directives):
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), WAIT_SECONDS)
            await asyncio.sleep(0)


@asynccontextmanager
async def running(reconciling: Reconciling, sweep_seconds: float = 3600.0) -> AsyncIterator[Reactor]:
    reactor = Reactor(reconciling, sweep_seconds, random.Random(1))
    stop = asyncio.Event()
    task = asyncio.create_task(reactor.run(stop))
    try:
        while not reconciling.seen:
            await asyncio.sleep(0)
        yield reactor
    finally:
        stop.set()
        await asyncio.wait_for(task, WAIT_SECONDS)


async def test_it_begins_with_everything_and_then_does_what_woke_it() -> None:
    reconciling = Reconciling()
    async with running(reconciling) as reactor:
        reactor.wake([GOOD, OTHER])
        await reconciling.until_done(GOOD, OTHER)
    assert reconciling.seen == [None, frozenset({GOOD, OTHER})]


async def test_the_trouble_of_one_directive_does_not_hold_up_the_others() -> None:
    before = failures()
    reconciling = Reconciling(refusals=1_000_000)
    async with running(reconciling) as reactor:
        reactor.wake([BAD, GOOD, OTHER])
        await reconciling.until_done(GOOD, OTHER)
        assert failures() > before
    assert BAD not in reconciling.done


async def test_what_failed_is_tried_again_by_itself() -> None:
    before = failures()
    reconciling = Reconciling(refusals=2)
    async with running(reconciling) as reactor:
        reactor.wake([BAD])
        await reconciling.until_done(BAD)
        assert failures() == before + 2


async def test_everything_is_looked_at_again_without_a_hint() -> None:
    reconciling = Reconciling()
    async with running(reconciling, sweep_seconds=0.01):
        async with asyncio.timeout(WAIT_SECONDS):
            while len(reconciling.seen) < 3:
                await asyncio.sleep(0.005)
    assert set(reconciling.seen) == {None}


async def test_of_several_alarms_the_earliest_rings_for_everything_and_once() -> None:
    reconciling = Reconciling()
    async with running(reconciling) as reactor:
        reactor.wake_within(3000.0)
        reactor.wake_within(0.01)
        reactor.wake_within(0.02)
        async with asyncio.timeout(WAIT_SECONDS):
            while len(reconciling.seen) < 2:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        assert reconciling.seen == [None, None]
        reactor.wake_within(0.01)
        async with asyncio.timeout(WAIT_SECONDS):
            while len(reconciling.seen) < 3:
                await asyncio.sleep(0.005)
