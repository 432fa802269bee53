"""Leadership by a lock of Postgres's: had by one, free at once when it ends, kept through a loss that nobody used."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import psycopg
import pytest

from shared.service.leadership import SILENT_SECONDS, SessionLock, lead
from tests import postgres


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A database."""
    with postgres.running() as server:
        yield server.url(server.fresh())


def end_sessions(url: str) -> None:
    """End every session that leads, as Postgres does with a silent one."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted"
        )


async def leads(url: str) -> None:
    """Wait until some session leads."""
    async with asyncio.timeout(20), await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        held = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted"
        while not await (await connection.execute(held)).fetchall():
            await asyncio.sleep(0.01)


async def working(lock: SessionLock, stop: asyncio.Event, name: str, works: list[str]) -> None:
    """Lead, and note when the work begins and ends."""

    async def work(stop: asyncio.Event) -> None:
        works.append(f"{name} begins")
        try:
            await stop.wait()
        finally:
            works.append(f"{name} ends")

    await lead(lock, stop, work)


async def until(works: list[str], *expected: str) -> None:
    """Wait until this is what happened."""
    async with asyncio.timeout(20):
        while works != list(expected):
            await asyncio.sleep(0.01)


def test_one_works_and_the_next_begins_when_it_is_done(url: str) -> None:
    async def play() -> None:
        works: list[str] = []
        stops = [asyncio.Event(), asyncio.Event()]
        first = asyncio.create_task(working(SessionLock(url, "test"), stops[0], "first", works))
        await until(works, "first begins")
        second = asyncio.create_task(working(SessionLock(url, "test"), stops[1], "second", works))
        await asyncio.sleep(2 * SILENT_SECONDS)  # a leader that beats keeps its session
        assert works == ["first begins"]
        stops[0].set()
        await until(works, "first begins", "first ends", "second begins")
        stops[1].set()
        await asyncio.gather(first, second)

    asyncio.run(play())


def test_roles_have_a_leader_each(url: str) -> None:
    async def play() -> None:
        locks = [SessionLock(url, role) for role in ("one", "other")]
        async with asyncio.timeout(20):
            await asyncio.gather(*(lock.won() for lock in locks))
        for lock in locks:
            await lock.resign()

    asyncio.run(play())


def test_a_session_that_is_ended_costs_its_process_the_lead_where_another_waits(url: str) -> None:
    async def play() -> None:
        works: list[str] = []
        stop = asyncio.Event()
        both = [asyncio.create_task(working(SessionLock(url, "test"), stop, "first", works))]
        await until(works, "first begins")
        both.append(asyncio.create_task(working(SessionLock(url, "test"), stop, "second", works)))
        await waits(url)
        await asyncio.to_thread(end_sessions, url)
        async with asyncio.timeout(20):
            while "first ends" not in works:
                await asyncio.sleep(0.01)
        assert works[:2] == ["first begins", "second begins"]
        stop.set()
        await asyncio.gather(*both)

    asyncio.run(play())


def test_a_session_that_is_ended_is_replaced_where_nobody_waits(url: str) -> None:
    async def play() -> None:
        works: list[str] = []
        stop = asyncio.Event()
        alone = asyncio.create_task(working(SessionLock(url, "test"), stop, "it", works))
        await until(works, "it begins")
        await asyncio.to_thread(end_sessions, url)
        await leads(url)
        rival = SessionLock(url, "test")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await rival.won()
        assert works == ["it begins"]
        stop.set()
        await alone

    asyncio.run(play())


def test_a_leader_that_says_nothing_is_replaced_within_about_a_second(url: str) -> None:
    async def play() -> float:
        silent, other = SessionLock(url, "test"), SessionLock(url, "test")
        await silent.won()
        began = time.monotonic()
        async with asyncio.timeout(20):
            await other.won()
        took = time.monotonic() - began
        async with asyncio.timeout(20):
            await silent.lost()
        await other.resign()
        return took

    assert asyncio.run(play()) > SILENT_SECONDS / 2


async def waits(url: str) -> None:
    """Wait until somebody stands by."""
    query = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with asyncio.timeout(20), await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while not (await connection.execute(query)).rowcount:
            await asyncio.sleep(0.01)
