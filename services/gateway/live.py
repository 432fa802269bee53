"""Live events: the audit log followed in the order of its numbers, and handed to every client that listens.

An event from the bus makes the follower read the log at once; the sweep reads it when none came. What clients get is
the log itself, so one that was away carries on after the last number that it saw. `task.output` is not in the log: it
is handed on as it passes by, and has no number.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import structlog

from services.gateway.access import SQL
from services.gateway.answers import EventRow, answer
from shared.bus.bus import Bus
from shared.messages.events import AnyEvent, DaemonConnected, DaemonLost, SlotsFree, TaskOutput
from shared.messages.topics import event_type
from shared.store.database import UNAVAILABLE, Database

log = structlog.get_logger()

MOST_WAITING_BYTES = 4 << 20
"""A client for whom more than this waits is cut off; it may carry on from the last number that it saw."""
PAGE = 1000
GAP_SECONDS = 1.0
"""A number that is missing for so long belongs to a transaction that was rolled back; until then it may still come."""
GAP_LOOK_SECONDS = 0.02
KEEP_ALIVE_SECONDS = 15.0
FIRST_LOOKS_SECONDS = (0.05, 0.2, 1.0)
"""A subscription takes a moment to reach the publishers: until it has, the log is looked at without being told to."""
CUT_OFF = b"event: cut_off\ndata: {}\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
_TRANSIENT = (TaskOutput, DaemonConnected, DaemonLost, SlotsFree)
_json = msgspec.json.Encoder()


class Interest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may and wants to see."""

    owner: UUID
    owner_name: str
    directive: UUID | None = None
    task: UUID | None = None
    output: bool = True
    """Whether it may see what tasks print."""

    def covers(self, owner: UUID, directive: UUID | None, task: str | None) -> bool:
        """Whether an entry of the log is of interest."""
        return (
            owner == self.owner
            and self.directive in (None, directive)
            and (self.task is None or task == str(self.task))
        )

    def covers_passing(self, event: AnyEvent) -> bool:
        """Whether an event that isn't kept is of interest. Output is only for who asks for a directive or a task."""
        if isinstance(event, TaskOutput):
            asked = self.output and self.directive is not None and event.directive == self.directive
            return asked and self.task in (None, event.task)
        if isinstance(event, _TRANSIENT):
            return self.directive is None and event.owner == self.owner_name
        return False


class Client:
    """What waits for one listener. Bounded: when too much waits, it is cut off."""

    def __init__(self, interest: Interest, above: int) -> None:
        self.interest = interest
        self.above = above
        self.ended = asyncio.Event()
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._some = asyncio.Event()
        self.on_end: Callable[[], object] | None = None

    def put(self, frame: bytes) -> bool:
        """Let a frame wait; False when this was too much, and the client has been cut off."""
        self._frames.append(frame)
        self._bytes += len(frame)
        self._some.set()
        if self._bytes <= MOST_WAITING_BYTES:
            return True
        self.end()
        return False

    def end(self) -> None:
        """Cut off: what waits is forgotten, and its stream ends, even where it is stuck in sending."""
        self._frames.clear()
        self.ended.set()
        self._some.set()
        if self.on_end is not None:
            self.on_end()

    async def frames(self) -> AsyncIterator[bytes]:
        """Frames as they come, and a comment when none came for a while, until the client is cut off."""
        while not self.ended.is_set():
            try:
                await asyncio.wait_for(self._some.wait(), KEEP_ALIVE_SECONDS)
            except TimeoutError:
                yield KEEP_ALIVE
                continue
            chunk = b"".join(self._frames)
            self._frames.clear()
            self._bytes = 0
            self._some.clear()
            if chunk:
                yield chunk
        yield CUT_OFF


class Live:
    """Follows the log while somebody listens, and not otherwise."""

    def __init__(self, database: Database, bus: Bus, sweep_seconds: float) -> None:
        self._database = database
        self._bus = bus
        self._sweep_seconds = sweep_seconds
        self._woken = asyncio.Event()
        self._position = 0
        self._gap_since: float | None = None
        self._following: asyncio.Future[None] | None = None
        self._positioned = asyncio.Event()
        self._listening = 0
        self.clients: set[Client] = set()
        self.cut_off = 0
        self.sent = 0

    @asynccontextmanager
    async def listening(self, interest: Interest, after: int | None) -> AsyncIterator[tuple[Client, int]]:
        """A client that gets what comes above both `after` (None: the log's end) and the returned number.

        What lies between the two is for `replay`.
        """
        self._listening += 1
        if self._following is None:
            self._following = asyncio.ensure_future(self._follow())
        try:
            await self._positioned.wait()
            above = after if after is not None else (await self._database.rows(SQL["last_position"]))[0]["seq"]
            client = Client(interest, above)
            self.clients.add(client)
            try:
                yield client, self._position
            finally:
                self.clients.discard(client)
        finally:
            self._listening -= 1
            if not self._listening:
                self._rest()

    async def replay(self, interest: Interest, after: int, to: int) -> AsyncIterator[bytes]:
        """The log's entries of interest from above `after` up to `to`, a page a chunk."""
        while after < to:
            rows = await self._database.rows(
                SQL["replay"],
                {"owner": interest.owner, "directive": interest.directive, "after": after, "to": to, "limit": PAGE},
            )
            kept = [r for r in rows if interest.covers(r["owner_id"], r["directive_id"], r["body"].get("task"))]
            if kept:
                yield b"".join(_frame(answer(EventRow, row)) for row in kept)
            if len(rows) < PAGE:
                return
            after = rows[-1]["seq"]

    def close(self) -> None:
        """End every stream."""
        for client in tuple(self.clients):
            client.end()
        if self._following is not None:
            self._following.cancel()

    def _rest(self) -> None:
        if self._following is not None:
            self._following.cancel()
        self._following = None
        self._positioned.clear()

    async def _follow(self) -> None:
        subscriber = self._bus.subscriber()
        hearing = asyncio.create_task(self._hear(subscriber.receive))
        loop = asyncio.get_running_loop()
        looks = [loop.call_later(seconds, self._woken.set) for seconds in FIRST_LOOKS_SECONDS]
        try:
            while True:
                try:
                    if not self._positioned.is_set():
                        self._position = (await self._database.rows(SQL["settled_position"]))[0]["seq"]
                        self._gap_since = None
                        self._positioned.set()
                    self._woken.clear()
                    more = await self._read()
                    wait = 0.0 if more else GAP_LOOK_SECONDS if self._gap_since else self._sweep_seconds
                except UNAVAILABLE as error:
                    log.warning("the audit log can't be read", error=str(error))
                    wait = GAP_SECONDS
                if wait:
                    await _wait(self._woken, wait)
        finally:
            for look in looks:
                look.cancel()
            hearing.cancel()
            subscriber.close()

    async def _hear(self, receive: Callable[[], object]) -> None:
        while True:
            event: AnyEvent = await receive()  # type: ignore[misc]
            if isinstance(event, _TRANSIENT):
                self._pass_on(event)
            else:
                self._woken.set()

    def _pass_on(self, event: AnyEvent) -> None:
        frame = b""
        for client in tuple(self.clients):
            if client.interest.covers_passing(event):
                frame = frame or _frame(
                    EventRow(
                        seq=None,
                        type=event_type(event),
                        directive_id=event.directive,
                        body=msgspec.to_builtins(event),
                        at=datetime.now(UTC),
                    )
                )
                self._put(client, frame)

    async def _read(self) -> bool:
        """Hand out what follows the position without a gap; whether there may be more at once."""
        rows = await self._database.rows(SQL["follow"], {"after": self._position, "limit": PAGE})
        for row in rows:
            if row["seq"] != self._position + 1 and not self._gap_is_old():
                return False
            self._gap_since = None
            self._position = row["seq"]
            frame = b""
            for client in tuple(self.clients):
                if row["seq"] <= client.above:
                    continue
                if client.interest.covers(row["owner_id"], row["directive_id"], row["body"].get("task")):
                    frame = frame or _frame(answer(EventRow, row))
                    self._put(client, frame)
        return len(rows) == PAGE

    def _gap_is_old(self) -> bool:
        """Numbers are drawn before their transaction commits, so a later one may be seen before an earlier one."""
        now = time.monotonic()
        if self._gap_since is None:
            self._gap_since = now
        return now - self._gap_since > GAP_SECONDS

    def _put(self, client: Client, frame: bytes) -> None:
        self.sent += 1
        if not client.put(frame):
            self.cut_off += 1
            self.clients.discard(client)
            log.warning("a listener was cut off", waiting_bytes=MOST_WAITING_BYTES, count=self.cut_off)


async def _wait(woken: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(woken.wait(), seconds)
    except TimeoutError:
        return


def _frame(row: EventRow) -> bytes:
    number = b"" if row.seq is None else b"id: %d\n" % row.seq
    return b"%sevent: %s\ndata: %s\n\n" % (number, row.type.encode(), _json.encode(row))
