"""Live events: the audit log followed, and handed to every client that listens.

What clients get is the log itself, so one that was away carries on after the last number that it saw. `task.output` is
not in the log: it is handed on as it passes by, and has no number.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
import anyio.abc
import msgspec
import structlog

from services.gateway.feed.clients import MAX_WAITING_BYTES, Client, Interest
from services.gateway.feed.follower import PAGE, Follower
from services.gateway.feed.held import Held
from services.gateway.rows.events import LAST_POSITION, REPLAY, REPLAY_ALL, FollowedEntry
from services.gateway.showing import show
from shared.api.events import EventShown
from shared.bus.bus import Bus
from shared.messages.events import AnyEvent
from shared.messages.topics import event_type
from shared.store.database import Database

log = structlog.get_logger()
_json = msgspec.json.Encoder()


class NotFollowed(Exception):
    """The log can't be followed just now; whoever listens asks again."""


class Live:
    """Follows the log while somebody listens, and not otherwise. `running` has to be entered first."""

    def __init__(self, database: Database, bus: Bus, sweep_seconds: float) -> None:
        self._database = database
        self._bus = bus
        self._sweep_seconds = sweep_seconds
        self._group: anyio.abc.TaskGroup | None = None
        self._follower: Follower | None = None
        self._listening = 0
        self.clients: set[Client] = set()
        self.held = Held(database)
        self.cut_off = 0
        self.sent = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What follows the log runs within this; at its end every stream does, too."""
        async with anyio.create_task_group() as self._group:
            yield
            self.close()
            self._group.cancel_scope.cancel()

    @asynccontextmanager
    async def listening(self, interest: Interest, after: int | None) -> AsyncIterator[tuple[Client, int]]:
        """A client that gets what comes above both `after` (None: the log's end) and the returned number.

        What lies between the two is for `replay`. Raises NotFollowed.
        """
        self._listening += 1
        follower = self._followed()
        try:
            await follower.settled.wait()
            above = after if after is not None else (await self._database.fetch_one(LAST_POSITION()))
            if follower.position is None or follower is not self._follower:
                raise NotFollowed
            client = Client(interest, above)
            self.clients.add(client)
            try:
                yield client, follower.position
            finally:
                self.clients.discard(client)
        finally:
            self._listening -= 1
            if not self._listening:
                self._rest()

    async def replay(self, interest: Interest, after: int, to: int) -> AsyncGenerator[bytes, None]:
        """The log's entries of interest from above `after` up to `to`, a page a chunk."""
        while after < to:
            of = {"owner": interest.owner, "after": after, "to": to, "limit": PAGE}
            one = interest.directive
            asked = REPLAY(directive=one, **of) if one is not None else REPLAY_ALL(**of)
            entries = await self._database.fetch(asked)
            kept = [e for e in entries if interest.covers(e.owner_id, e.directive_id, e.body.get("task"))]
            if kept:
                yield b"".join(_frame(show(EventShown, entry)) for entry in kept)
            if len(entries) < PAGE:
                return
            after = entries[-1].seq

    def close(self) -> None:
        """End every stream."""
        for client in tuple(self.clients):
            client.end()
        self._rest()

    def entry(self, entry: FollowedEntry) -> None:
        """Hand an entry of the log to whom it is of interest."""
        self.held.entry(entry)
        frame = b""
        for client in tuple(self.clients):
            if entry.seq <= client.above:
                continue
            if client.interest.covers(entry.owner_id, entry.directive_id, entry.body.get("task")):
                frame = frame or _frame(show(EventShown, entry))
                self._put(client, frame)

    def passing(self, event: AnyEvent) -> None:
        """Hand an event that isn't kept to whom it is of interest."""
        frame = b""
        for client in tuple(self.clients):
            if client.interest.covers_passing(event):
                frame = frame or _frame(_shown(event))
                self._put(client, frame)

    def _followed(self) -> Follower:
        """The follower, begun when there is none."""
        if self._group is None:
            raise RuntimeError("nothing is followed outside of `running`")
        if self._follower is None:
            self._follower = Follower(self._database, self._bus, self._sweep_seconds, self)
            self._group.start_soon(self._follow, self._follower)
        return self._follower

    async def _follow(self, follower: Follower) -> None:
        """Follow; whoever listens when that is given up is cut off, and whoever comes then has another try."""
        await follower.follow()
        if follower is self._follower:
            self._follower = None
            for client in tuple(self.clients):
                client.end()
        follower.settled.set()

    def _rest(self) -> None:
        if self._follower is not None:
            self._follower.scope.cancel()
        self._follower = None

    def _put(self, client: Client, frame: bytes) -> None:
        self.sent += 1
        if not client.put(frame):
            self.cut_off += 1
            self.clients.discard(client)
            log.warning("a listener was cut off", waiting_bytes=MAX_WAITING_BYTES, count=self.cut_off)


def _shown(event: AnyEvent) -> EventShown:
    """An event that isn't kept, as its listeners see it."""
    body: dict[str, object] = msgspec.to_builtins(event)
    return EventShown(seq=None, type=event_type(event), directive_id=event.directive, body=body, at=datetime.now(UTC))


def _frame(event: EventShown) -> bytes:
    number = b"" if event.seq is None else b"id: %d\n" % event.seq
    return b"%sevent: %s\ndata: %s\n\n" % (number, event.type.encode(), _json.encode(event))
