"""One stream of a daemon's, as a connection to the gateway's own socket.

Each way no more is on its way than a window, of WINDOW_BYTES, or for git's of up to WIDE_BYTES: what the daemon may
send without being told that it went on, and what is read of the answer without the daemon having said so. More
waits in the socket, whose other end then waits, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from shared.messages.link import PIECE_BYTES, WIDE_BYTES, WINDOW_BYTES, Close, Downward, Piece, Taken
from shared.messages.window import Window

SILENT_SECONDS = 60.0
"""A daemon that takes nothing of an answer for so long, or doesn't end a stream that was answered, is not there."""


class Stream(asyncio.Protocol):
    """Carries bytes both ways until both sides are done, or either closes it. `over` is called once, at its end."""

    def __init__(
        self, number: int, say: Callable[[Downward], None], over: Callable[[Stream], None], *, wide: bool = False
    ) -> None:
        self.number = number
        self.wide = wide
        self._most = WIDE_BYTES if wide else WINDOW_BYTES
        self._window = Window(self._most)
        self._say = say
        self._on_end = over
        self._over = False
        self._connecting: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._writable = False
        self._lost = False

        self._came = 0
        self._told = 0
        self._waiting = bytearray()
        self._came_all = False
        self._said_all = False

        self._sent = 0
        self._taken = 0
        self._unsent = bytearray()
        self._answered = False
        self._sent_all = False
        self._heard = 0.0
        """When the daemon was last to say that it takes what is sent."""

    def open(self, path: Path) -> None:
        """Connect; what comes meanwhile waits."""
        self._connecting = asyncio.create_task(self._connect(path))

    def take(self, message: Piece | Taken | Close) -> None:
        """A message of the daemon's."""
        match message:
            case Piece():
                self._take_piece(message)
            case Taken() if self._taken <= message.upto <= self._sent:
                self._taken = message.upto
                self._heard = _now()
                self._window.taken(message.upto, self._heard)
                self._send_on()
            case Taken():
                self.close()
            case Close():
                self.end()

    def close_if_silent(self) -> None:
        """End it when its daemon is gone without a word, as one that died and has begun anew."""
        waits = self._sent > self._taken or self._sent_all
        if waits and _now() - self._heard > SILENT_SECONDS:
            self.close()

    def close(self) -> None:
        """End it, and tell the daemon."""
        if not self._over:
            self._say(Close(stream=self.number))
        self.end()

    def end(self) -> None:
        """End it at once, and the request with it; nobody is told."""
        if self._over:
            return
        self._over = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._waiting.clear()
        self._unsent.clear()
        self._on_end(self)

    # -- what the daemon sends --------------------------------------------------------------------------------------

    def _take_piece(self, piece: Piece) -> None:
        size = len(piece.data)
        fits = piece.at == self._came and self._came + size - self._told <= self._most
        if not fits or self._came_all or not (size or piece.last):
            self.close()
            return
        self._came += size
        self._came_all = piece.last
        self._waiting += piece.data
        self._pass_on()

    def _pass_on(self) -> None:
        """Write what came, as long as the socket takes it. Of a request that was answered, the rest goes nowhere."""
        if self._lost:
            self._waiting.clear()
        elif self._transport is None or not self._writable:
            return
        elif self._waiting:
            self._transport.write(bytes(self._waiting))
            self._waiting.clear()
        if self._writable or self._lost:
            self._all_went_on()

    def _all_went_on(self) -> None:
        if self._told < self._came:
            self._told = self._came
            self._say(Taken(stream=self.number, upto=self._told))
        if self._came_all and not self._said_all and self._transport is not None and not self._lost:
            self._said_all = True
            self._transport.write_eof()
        self._end_when_done()

    # -- what the gateway answers -------------------------------------------------------------------------------------

    def _send_on(self) -> None:
        """Send of the answer what the window has room for; read on when nothing is left."""
        if self._sent == self._taken:
            self._heard = _now()
        while self._unsent and (room := self._taken + self._window.bytes - self._sent) > 0:
            data = bytes(self._unsent[: min(PIECE_BYTES, room)])
            del self._unsent[: len(data)]
            self._say(Piece(stream=self.number, at=self._sent, data=data))
            self._sent += len(data)
            self._window.sent(self._sent, _now())
        if self._unsent:
            self._read(on=False)
        elif not self._answered:
            self._read(on=True)
        elif not self._sent_all:
            self._sent_all = True
            self._say(Piece(stream=self.number, at=self._sent, data=b"", last=True))
            self._end_when_done()

    def _read(self, *, on: bool) -> None:
        if self._transport is None or self._lost or self._transport.is_reading() == on:
            return
        (self._transport.resume_reading if on else self._transport.pause_reading)()

    def _end_when_done(self) -> None:
        if self._came_all and self._sent_all and not self._waiting:
            self.end()

    # -- the connection -----------------------------------------------------------------------------------------------

    async def _connect(self, path: Path) -> None:
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: self, str(path))
        except OSError:
            self.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Connected."""
        if self._over:
            transport.abort()
            return
        transport.set_write_buffer_limits(high=0)
        self._transport, self._writable = transport, True
        self._pass_on()

    def data_received(self, data: bytes) -> None:
        """A part of the answer."""
        if not self._over:
            self._unsent += data
            self._send_on()

    def eof_received(self) -> bool:
        """The gateway has said all."""
        self._answered = True
        if not self._over:
            self._send_on()
        return True  # what the daemon still sends has somewhere to go

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self._writable = False

    def resume_writing(self) -> None:
        """It takes more."""
        self._writable = True
        if not self._over:
            self._pass_on()

    def connection_lost(self, _: Exception | None) -> None:
        """The gateway has closed its end: after its answer that is all there is to it, before it's a failure."""
        self._lost = True
        if self._over:
            return
        if self._answered:
            self._pass_on()
        else:
            self.close()


def _now() -> float:
    return asyncio.get_running_loop().time()
