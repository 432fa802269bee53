"""The live stream survives whatever befalls its follower: it is started again, or whoever listens is let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import anyio
import pytest
import structlog
from psycopg import OperationalError

from services.gateway.feed import follower
from services.gateway.feed.clients import CUT_OFF, Client, Interest
from services.gateway.feed.live import Live, NotFollowed
from services.gateway.rows.events import FollowedEntry
from shared.messages.events import AnyEvent, TaskChanged

pytestmark = pytest.mark.anyio
OWNER, DIRECTIVE = UUID(int=1), UUID(int=2)
INTEREST = Interest(owner=OWNER, owner_name="default")
PATIENCE_SECONDS = 10


class Log:
    """The database's audit log, which fails as often as it is told to."""

    def __init__(self) -> None:
        self.entries: list[FollowedEntry] = []
        self.failures: list[Exception] = []
        self.asked = 0

    def write(self, event_type: str) -> None:
        number = len(self.entries) + 1
        self.entries.append(
            FollowedEntry(
                seq=number, type=event_type, directive_id=DIRECTIVE, body={}, at=datetime.now(UTC), owner_id=OWNER
            )
        )

    async def fetch(self, asked: Any) -> Sequence[object]:
        self.asked += 1
        await anyio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        if asked.statement.name.endswith("position"):
            return [len(self.entries)]
        after = dict(zip(asked.statement.parameters, asked.parameters, strict=True))["after"]
        return [entry for entry in self.entries if entry.seq > after]

    async def fetch_one(self, asked: Any) -> object:
        return (await self.fetch(asked))[0]


class Bus:
    """A bus whose subscriber hears what is put into it, or fails with it."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[AnyEvent | Exception] = asyncio.Queue()
        self.closed = 0

    def subscriber(self, _: object = ()) -> Bus:
        return self

    async def receive(self) -> AnyEvent:
        heard = await self.heard.get()
        if isinstance(heard, Exception):
            raise heard
        return heard

    def close(self) -> None:
        self.closed += 1


class Stream:
    """A live stream over such a log, followed."""

    def __init__(self) -> None:
        self.log, self.bus = Log(), Bus()
        self.live = Live(self.log, self.bus, sweep_seconds=0.05)  # type: ignore[arg-type]

    @asynccontextmanager
    async def listener(self) -> AsyncIterator[AsyncIterator[bytes]]:
        with anyio.fail_after(PATIENCE_SECONDS):
            async with self.live.listening(INTEREST, 0) as (client, _):
                yield client.frames()

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(PATIENCE_SECONDS):
            while not condition():
                await anyio.sleep(0.005)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "BACKOFF_SECONDS", (0.01,) * 4)


@pytest.fixture
async def stream() -> AsyncIterator[Stream]:
    made = Stream()
    async with made.live.running():
        yield made


async def test_after_an_error_the_stream_goes_on_where_it_was(stream: Stream) -> None:
    async with stream.listener() as frames:
        stream.log.write("step.added")
        assert b"step.added" in await anext(frames)
        with structlog.testing.capture_logs() as logged:
            stream.log.failures = [RuntimeError("broken")]
            await stream.until(lambda: not stream.log.failures)
            stream.log.write("step.ready")
            assert b"step.ready" in await anext(frames)
    (said,) = [line for line in logged if line["log_level"] == "error"]
    assert said["event"] == "the audit log's follower failed" and said["exc_info"]


async def test_an_error_of_the_bus_is_survived_too(stream: Stream) -> None:
    async with stream.listener() as frames:
        closed = stream.bus.closed
        stream.bus.heard.put_nowait(RuntimeError("broken"))
        await stream.until(lambda: stream.bus.closed > closed)
        stream.log.write("step.added")
        stream.bus.heard.put_nowait(TaskChanged(directive=DIRECTIVE))
        assert b"step.added" in await anext(frames)


async def test_when_it_fails_for_good_whoever_listens_is_let_go_and_the_next_one_is_served(stream: Stream) -> None:
    async with stream.listener() as frames:
        stream.log.failures = [RuntimeError("broken") for _ in range(100)]
        assert [frame async for frame in frames] == [CUT_OFF]
    assert not stream.live.clients
    stream.log.failures = []
    async with stream.listener() as frames:
        stream.log.write("step.added")
        assert b"step.added" in await anext(frames)


async def test_nobody_waits_for_a_log_whose_end_is_never_found(stream: Stream) -> None:
    stream.log.failures = [RuntimeError("broken") for _ in range(100)]
    with pytest.raises(NotFollowed):
        async with stream.listener():
            pass


async def test_a_database_that_is_away_is_waited_for(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "GAP_SECONDS", 0.01)
    stream.log.failures = [OperationalError("away") for _ in range(20)]
    async with stream.listener() as frames:
        stream.log.write("step.added")
        assert b"step.added" in await anext(frames)


async def test_nothing_is_followed_while_nobody_listens(stream: Stream) -> None:
    async with stream.listener():
        pass
    await stream.until(lambda: stream.bus.closed == 1)
    asked = stream.log.asked
    await anyio.sleep(0.2)
    assert stream.log.asked == asked


async def test_a_listener_is_ended_with_the_gateway(stream: Stream) -> None:
    async with stream.listener() as frames:
        stream.live.close()
        assert [frame async for frame in frames] == [CUT_OFF]


async def test_a_client_that_ends_while_it_waits_is_told(stream: Stream) -> None:
    ended: list[Client] = []
    async with stream.live.listening(INTEREST, 0) as (client, _):
        client.on_end = lambda: ended.append(client)
        client.end()
        assert ended == [client]
