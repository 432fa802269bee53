"""The channel `calls`: what comes over the link to this gateway, and what goes back."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import structlog

from services.gateway.link.admitted import AdmittedFile
from services.gateway.link.joining import Joining
from services.gateway.link.streams import Streams
from shared.bus.bus import Bus, MessageChannel
from shared.bus.skipped import Skipped
from shared.config import Settings
from shared.config.sockets import to_connect
from shared.messages.frames import DOWNWARD, UPWARD, exactly, read_header
from shared.messages.link import Downward, Join
from shared.messages.unreadable import UNREADABLE
from shared.store.database import UNAVAILABLE, UNHOLDABLE, Database

log = structlog.get_logger()

READY_SECONDS = 2.0
PIECES_A_FRAME = 16
"""Half a MiB: what is behind it on the same connection doesn't wait for long."""
OPEN_FILES = 4096
"""Each stream takes two: both ends of its connection are this process's."""
MAX_JOINING = 100
"""Joins that wait at once; whoever finds no place says it again."""


class Calls:
    """Takes in what the broker hands on, and hands it what goes back."""

    def __init__(self, channel: MessageChannel, joining: Joining, settings: Settings) -> None:
        self._channel = channel
        self._joining = joining
        self._streams = Streams(to_connect(settings.gateway_socket()), self._say_to_daemon)
        self._said: dict[str, list[Downward]] = {}
        self._some_said = asyncio.Event()
        self._joins: dict[str, Join] = {}
        self._some_join = asyncio.Event()
        self._skipped = Skipped()

    async def run(self) -> None:
        """Do so until cancelled."""
        async with anyio.create_task_group() as group:
            for work in (self._say_ready, self._receive, self._send, self._join):
                group.start_soon(work)

    async def _say_ready(self) -> None:
        while True:
            await self._channel.send("gateway.ready", b"ready", b"", b"")
            self._streams.close_silent()
            await asyncio.sleep(READY_SECONDS)

    async def _receive(self) -> None:
        while True:
            for parts in await self._channel.receive_waiting():
                try:
                    self._take(parts)
                except UNREADABLE as error:
                    self._skipped(error)

    def _take(self, parts: list[bytes]) -> None:
        """Take in a frame. Only what the broker says of its sender is believed."""
        _, head, said_who, body = exactly(parts, 4)
        read_header(head)
        who = said_who.decode()
        kind, _, name = who.partition(":")
        for message in UPWARD.decode(body, self._skipped):
            if isinstance(message, Join):
                self._take_join(who, message)
            elif kind == "daemon":
                self._streams.take(name, message)
            else:
                self._skipped(f"{who} is no daemon and sends a {type(message).__name__}")

    def _take_join(self, who: str, join: Join) -> None:
        """Keep a Join, one of each, until its turn. Where all places are taken, one that only asks gives way."""
        if len(self._joins) >= MAX_JOINING and who not in self._joins:
            self._skipped(f"{MAX_JOINING} others want to join")
            gives_way = next(filter(_asks, self._joins), None)
            if gives_way is None or _asks(who):
                return
            del self._joins[gives_way]
        self._joins[who] = join
        self._some_join.set()

    async def _join(self) -> None:
        """Answer Joins one after another: first those whom somebody vouches for."""
        while True:
            await self._some_join.wait()
            while self._joins:
                who = min(self._joins, key=_asks)
                await self._answer(who, self._joins.pop(who))
            self._some_join.clear()

    async def _answer(self, who: str, join: Join) -> None:
        """Answer one; of those that can't be answered now, none: they come again."""
        try:
            self._say(who, await self._joining.answer(who, join))
        except (*UNAVAILABLE, *UNHOLDABLE, OSError) as error:
            log.warning("a daemon can't join just now", who=who, error=str(error))

    def _say_to_daemon(self, daemon: str, message: Downward) -> None:
        self._say(f"daemon:{daemon}", message)

    def _say(self, who: str, message: Downward) -> None:
        """Have this sent. What waits is bounded by what streams may have on their way."""
        self._said.setdefault(who, []).append(message)
        self._some_said.set()

    async def _send(self) -> None:
        while True:
            await self._some_said.wait()
            self._some_said.clear()
            said, self._said = self._said, {}
            for who, messages in said.items():
                bodies, _ = DOWNWARD.bodies(messages, PIECES_A_FRAME)
                for body in bodies:
                    await self._channel.send("gateway.calls", b"link", who.encode(), body)


class Link:
    """The gateway's side of the link: keys are kept up to date, and calls answered where the settings have a link."""

    def __init__(self, database: Database, bus: Bus, settings: Settings) -> None:
        self.admitted = AdmittedFile(database, settings)
        self._joining = Joining(database, settings, self.admitted)
        self._bus = bus
        self._settings = settings

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All of it runs within this."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._sweep)
            if self._settings.link is not None:
                _allow_files()
                channel = self._bus.channel("calls", "gateway")
                group.start_soon(Calls(channel, self._joining, self._settings).run)
            yield
            group.cancel_scope.cancel()

    async def _sweep(self) -> None:
        while True:
            await self.admitted.sweep()
            await asyncio.sleep(self._settings.sweep_seconds)


def _asks(who: str) -> bool:
    """Whether nobody vouches for whoever joins."""
    return who.startswith("asking:")


def _allow_files() -> None:
    """Take as many open files as the system allows, up to what connections and streams may need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
