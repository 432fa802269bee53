"""A bad network: a proxy between a ZeroMQ endpoint and who connects to it, that loses, doubles and reorders messages,
or lets bytes vanish in one direction.

It reads ZMTP 3.1 (https://rfc.zeromq.org/spec/37/): after a greeting of 64 bytes come frames, each a flags byte, a size
and a body. A message is one or more frames; commands (the handshake, heartbeats) are never touched.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

GREETING_BYTES = 64
MORE, LONG, COMMAND = 1, 2, 4
LATE_SECONDS = 0.2
"""How late a message may come, behind others that were sent after it."""

Direction = Literal["up", "down"]
"""To the endpoint that is bound, or from it."""


@dataclass
class Weather:
    """What the network does just now, to all proxies that share it."""

    drop: float = 0.0
    double: float = 0.0
    late: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    connections: int = 0
    """How many were made in all."""
    dropped: int = 0
    doubled: int = 0
    delayed: int = 0
    open: set[_Outgoing] = field(default_factory=set)
    """The two directions of each connection, for as long as either of its ends keeps it."""

    def lose(self, direction: Direction) -> None:
        """From now on the bytes of one direction vanish on every connection that there is, and its end isn't told."""
        for one in list(self.open):
            one.lost = one.lost or one.direction == direction

    @property
    def half_open(self) -> int:
        """How many connections have lost a direction, and either of their ends has not noticed yet."""
        return sum(one.lost for one in list(self.open))


class Proxy:
    """One endpoint's: listens on a Unix socket, and passes each connection on to another."""

    def __init__(self, listen: Path, target: Path, weather: Weather) -> None:
        self._listen = listen
        self._target = target
        self._weather = weather

    async def serve(self) -> None:
        """Pass on for ever."""
        server = await asyncio.start_unix_server(self._connected, self._listen)
        async with server:
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):  # asyncio's streams take that for an error
            await self._join(reader, writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._weather.connections += 1
        try:
            up_reader, up_writer = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.close()
            return
        ways = (_Outgoing(up_writer, self._weather, "up"), _Outgoing(writer, self._weather, "down"))
        self._weather.open.update(ways)
        passing = [asyncio.create_task(_pass(*way)) for way in zip((reader, up_reader), ways, strict=True)]
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            if any(way.lost for way in ways):
                await asyncio.wait(passing)  # what one end did doesn't reach the other
        finally:
            for one in passing:
                one.cancel()
            for end in (writer, up_writer):
                end.close()
            self._weather.open.difference_update(ways)


async def _pass(reader: asyncio.StreamReader, outgoing: _Outgoing) -> None:
    try:
        left = GREETING_BYTES  # which come in parts, each in answer to one of the other side's
        while left:
            part = await reader.read(left)
            if not part:
                return
            outgoing.write(part)
            left -= len(part)
        while True:
            message, ordinary = await _message(reader)
            (outgoing.weather if ordinary else outgoing.write)(message)
            await outgoing.drain()
    except asyncio.IncompleteReadError:
        return
    except OSError:  # it can't be written any more: what is still read goes nowhere
        while await reader.read(65536):
            pass


class _Outgoing:
    """One direction of one connection."""

    def __init__(self, writer: asyncio.StreamWriter, weather: Weather, direction: Direction) -> None:
        self._writer = writer
        self._weather = weather
        self.direction = direction
        self.lost = False

    def write(self, data: bytes) -> None:
        """Pass on as it is, unless this direction is lost."""
        if not self.lost and not self._writer.is_closing():
            self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the other end has taken most of it."""
        if not self.lost:
            await self._writer.drain()

    def weather(self, message: bytes) -> None:
        """Pass a message on, or lose it, or double it, or let it come late."""
        weather, drawn = self._weather, self._weather.rng.random
        if drawn() < weather.drop:
            weather.dropped += 1
            return
        copies = 1
        if drawn() < weather.double:
            weather.doubled += 1
            copies = 2
        for _ in range(copies):
            if drawn() < weather.late:
                weather.delayed += 1
                asyncio.get_running_loop().call_later(weather.rng.uniform(0, LATE_SECONDS), self.write, message)
            else:
                self.write(message)


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """The next message or command, whole; whether it is an ordinary message, which may be lost.

    Subscriptions aren't: who subscribes says so once, and ZeroMQ keeps that over a connection's life.
    """
    whole = b""
    while True:
        flags = await reader.readexactly(1)
        size = await reader.readexactly(8 if flags[0] & LONG else 1)
        body = await reader.readexactly(int.from_bytes(size))
        first = not whole
        whole += flags + size + body
        if flags[0] & COMMAND:
            return whole, False
        if not flags[0] & MORE:
            return whole, not (first and body[:1] in (b"\0", b"\1"))


@contextmanager
def between(listen: Path, target: Path, endpoints: tuple[str, ...], weather: Weather) -> Iterator[None]:
    """Proxies for these endpoints: who connects in the folder `listen` comes to those of the same names in `target`."""
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        proxies = [Proxy(listen / f"{e}.sock", target / f"{e}.sock", weather) for e in endpoints]
        serving = [asyncio.create_task(proxy.serve()) for proxy in proxies]
        begun.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()
        for one in serving:
            one.cancel()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="proxy", daemon=True)
    thread.start()
    loop, stop = begun.result(30)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
