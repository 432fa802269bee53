"""How far each side of a stream has come: what it may send, and what it takes. Pure."""

from __future__ import annotations

from collections.abc import Callable

from shared.messages.link import PIECE_BYTES, WIDE_BYTES, WINDOW_BYTES, Piece
from shared.messages.window import Window

CROWDED_PIECES = 64
"""So many are on their way of a stream before it goes slower: each costs more than its bytes, however small it is."""


class OutOfPlace(ValueError):
    """A frame that doesn't follow those before it: one was lost, or its sender doesn't keep to the window."""


class Sending:
    """What this side has sent, and how much of that went on."""

    def __init__(self, clock: Callable[[], float] = lambda: 0.0, *, wide: bool = False) -> None:
        self._sent = 0
        self._taken = 0
        self._unheard = 0
        self._clock = clock
        self._window = Window(WIDE_BYTES if wide else WINDOW_BYTES)

    @property
    def room(self) -> int:
        """Bytes that may be sent now, in one piece."""
        return max(0, min(PIECE_BYTES, self._window.bytes - (self._sent - self._taken)))

    @property
    def on_their_way(self) -> bool:
        """Whether pieces were sent since anything was heard: they may still wait in our own socket."""
        return self._unheard > 0

    @property
    def crowded(self) -> bool:
        """Whether very many were."""
        return self._unheard >= CROWDED_PIECES

    def heard(self) -> None:
        """Something came of the stream."""
        self._unheard = 0

    def piece(self, stream: int, data: bytes) -> Piece:
        """The next piece, with at most `room` bytes; with none it is the last."""
        at = self._sent
        self._sent += len(data)
        self._window.sent(self._sent, self._clock())
        self._unheard += bool(data)
        return Piece(stream=stream, at=at, data=data, last=not data)

    def taken(self, upto: int) -> None:
        """So much went on. Raises OutOfPlace for more than was sent."""
        if upto > self._sent:
            raise OutOfPlace(f"{upto} bytes taken of {self._sent}")
        if upto > self._taken:
            self._taken = upto
            self._window.taken(upto, self._clock())


class Receiving:
    """What the other side has sent, and how much of that went on from here."""

    def __init__(self, *, wide: bool = False) -> None:
        self._most = WIDE_BYTES if wide else WINDOW_BYTES
        self._arrived = 0
        self._gone_on = 0
        self._ended = False

    def arrived(self, piece: Piece) -> None:
        """Take in the next piece. Raises OutOfPlace."""
        if self._ended or piece.at != self._arrived or not (piece.data or piece.last):
            raise OutOfPlace(f"a piece at {piece.at} of the stream {piece.stream}, of which {self._arrived} have come")
        self._arrived += len(piece.data)
        self._ended = piece.last
        if self._arrived - self._gone_on > self._most:
            raise OutOfPlace(f"the stream {piece.stream} is beyond its window")

    def gone_on(self, number: int) -> int:
        """So many more bytes went on; how many did in all."""
        self._gone_on += number
        return self._gone_on
