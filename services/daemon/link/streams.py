"""Requests of agents and of git: sockets like the gateway's own, each of whose connections is a stream over the link.

Nothing waits here but what the windows allow: a connection is read only when there is room to send, and connections
beyond MAX_STREAMS stay in the socket's backlog.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import select
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

import structlog

from services.daemon.link.peers import is_ours
from services.daemon.link.windows import OutOfPlace, Receiving, Sending
from shared.config.sockets import listening
from shared.messages.link import MAX_STREAMS, MAX_WIDE, Close, Downward, Open, Piece, Reset, Taken, Upward

log = structlog.get_logger()

Say = Callable[[Upward], Awaitable[None]]
_PACE_SECONDS = 0.1
"""Between two pieces of a stream of which very many are on their way."""
_LINGER_SECONDS = 5.0
"""How long a stream keeps its place that ended here with pieces on their way."""
_FIRST = 2**30
"""Streams begin at a random number below it: a late frame for an earlier life of the daemon finds none of its own."""


class _Gone(Exception):
    """Whoever had opened the connection has closed it."""


class Stream:
    """One connection, carried until either side ends it."""

    def __init__(self, number: int, connection: socket.socket, say: Say, *, wide: bool = False) -> None:
        """`wide`: as git's are, more of it may be on its way."""
        self._number = number
        self._connection = connection
        self._say = say
        self._wide = wide
        self._sending = Sending(time.monotonic, wide=wide)
        self._receiving = Receiving(wide=wide)
        self._pieces: asyncio.Queue[Piece] = asyncio.Queue()
        """Never more than the window: `Receiving` sees to that."""
        self._some_heard = asyncio.Event()
        self._over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether the other side has ended it."""

    @property
    def leaves_pieces(self) -> bool:
        """Whether pieces of it may still wait in our own socket."""
        return self._sending.on_their_way

    def end(self, by_other_side: bool) -> None:
        """End it, at once and both ways."""
        if not self._over.done():
            self._over.set_result(by_other_side)

    def on(self, message: Piece | Taken | Close) -> None:
        """Take in what the other side says of it."""
        self._sending.heard()
        self._some_heard.set()
        try:
            match message:
                case Piece():
                    self._receiving.arrived(message)
                    self._pieces.put_nowait(message)
                case Taken():
                    self._sending.taken(message.upto)
                case Close():
                    self.end(by_other_side=True)
        except OutOfPlace as error:
            log.info("stream broken off", why=str(error))
            self.end(by_other_side=False)

    async def carry(self) -> None:
        """Carry it to its end."""
        await self._say(Open(stream=self._number, wide=self._wide))
        both = asyncio.create_task(self._both())
        try:
            await asyncio.wait((both, self._over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            both.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await both
            self._connection.close()
        if not (self._over.done() and self._over.result()):
            await self._say(Close(stream=self._number))

    async def _both(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._up())
                group.create_task(self._down())
        except* (_Gone, OSError, OutOfPlace) as ended:
            log.debug("stream ends", why=str(ended.exceptions[0]))

    async def _up(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            data = await loop.sock_recv(self._connection, await self._room())
            if not data and (self._wide or _is_gone(self._connection)):
                raise _Gone
            await self._say(self._sending.piece(self._number, data))
            if not data:
                return

    async def _room(self) -> int:
        if self._sending.crowded:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._more(), _PACE_SECONDS)
        while not self._sending.room:
            await self._more()
        return self._sending.room

    async def _more(self) -> None:
        self._some_heard.clear()
        await self._some_heard.wait()

    async def _down(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            piece = await self._pieces.get()
            if piece.data:
                await loop.sock_sendall(self._connection, piece.data)
                upto = self._receiving.gone_on(len(piece.data))
                await self._say(Taken(stream=self._number, upto=upto))
            if piece.last:
                self._connection.shutdown(socket.SHUT_WR)
                return


class Streams:
    """All of a daemon's, while it serves."""

    def __init__(self, path: Path, say: Say, is_up: Callable[[], bool]) -> None:
        """`path`: where agents connect to. `is_up`: whether the link stands."""
        self._path = path
        self._say = say
        self._is_up = is_up
        self._streams: dict[int, Stream] = {}
        self._places = asyncio.Semaphore(MAX_STREAMS)
        self._wide_places = asyncio.Semaphore(MAX_WIDE)
        self._carrying: set[asyncio.Task[None]] = set()
        self._next = secrets.randbelow(_FIRST)

    async def serve(self) -> None:
        """Take connections, for ever. Raises OSError."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        with listening(self._path) as bound:
            bound.listen(4 * MAX_STREAMS)
            bound.setblocking(False)
            while True:
                await self._places.acquire()
                connection, _ = await loop.sock_accept(bound)
                self._begin(self._carry(connection))

    async def serve_git(self, bound: socket.socket) -> None:
        """The same for git, which speaks to a port of this machine's own: what another account says to it is closed."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wide_places.acquire()
            connection, _ = await loop.sock_accept(bound)
            connection.setblocking(False)
            self._begin(self._carry_git(connection))

    def on(self, message: Downward) -> None:
        """Take in a message; one of a stream that is over changes nothing."""
        if isinstance(message, Reset):
            self.end_all(by_other_side=True)
        elif isinstance(message, Piece | Taken | Close) and (stream := self._streams.get(message.stream)):
            stream.on(message)

    def end_all(self, by_other_side: bool = False) -> None:
        """End every stream: who opened them asks again."""
        for stream in self._streams.values():
            stream.end(by_other_side)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        carrying = asyncio.create_task(work)
        self._carrying.add(carrying)
        carrying.add_done_callback(self._carrying.discard)

    async def _carry_git(self, connection: socket.socket) -> None:
        try:
            if await asyncio.to_thread(is_ours, connection):
                await self._places.acquire()
                await self._carry(connection, wide=True)
            else:
                log.warning("a connection of another account's to git's port was closed")
        finally:
            connection.close()
            self._wide_places.release()

    async def _carry(self, connection: socket.socket, *, wide: bool = False) -> None:
        number, self._next = self._next, self._next + 1
        stream = self._streams[number] = Stream(number, connection, self._say, wide=wide)
        try:
            if self._is_up():
                await stream.carry()
        finally:
            connection.close()
            del self._streams[number]
            if stream.leaves_pieces:
                await asyncio.sleep(_LINGER_SECONDS)
            self._places.release()


def _is_gone(connection: socket.socket) -> bool:
    """Whether the other end is closed for good, and not only done with sending."""
    poll = select.poll()
    poll.register(connection, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))
