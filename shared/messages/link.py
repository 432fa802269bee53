"""What crosses the link besides commands and reports: a daemon on another machine joins, its agents' requests.

A request is a stream of bytes both ways, as an agent's `makima` speaks HTTP: the daemon opens it, the broker hands its
frames on, the gateway carries them to its own socket. A stream is over with any frame of it that is lost: `at` tells.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from shared.messages.numbers import DaemonName, Number, Sequence, Slots

PIECE_BYTES = 32 << 10
"""The most that one Piece holds."""
WINDOW_BYTES = 256 << 10
"""What a side may have sent without the other having said, by Taken, that it went on."""
WIDE_BYTES = 2 << 20
"""The same for a stream that was opened wide, as git's are: at most, and where it comes through."""
LEAST_BYTES = 64 << 10
"""What such a one may have on its way however slow the link is."""
MAX_STREAMS = 64
"""Streams that a daemon may have open at once."""
MAX_WIDE = 16
"""So many of them wide."""

PublicKey = Annotated[str, msgspec.Meta(min_length=40, max_length=40)]
"""Of a CURVE key pair, in Z85: https://rfc.zeromq.org/spec/32"""


class Join(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="Join"):
    """By whoever wants to be a daemon of this cluster, with the key of an invitation or one that nobody knows; and by
    a daemon that takes another key. Said again until it is answered."""

    key: PublicKey
    """The one that it will connect with from then on."""
    name: DaemonName


class Joined(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="Joined"):
    """By the gateway: this key is a daemon's from now on."""

    key: PublicKey
    name: DaemonName
    owner: DaemonName
    labels: tuple[str, ...] = ()
    slots: Slots | None = None


class NotJoined(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="NotJoined"):
    """By the gateway: not yet (`waits`: a person has to accept the key), or never, and why."""

    key: PublicKey
    reason: str
    waits: bool = False


class Open(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="Open"):
    """By a daemon: a stream begins. Numbers of streams count up for the life of a daemon's process."""

    stream: Number
    wide: bool = False
    """Whether more than WINDOW_BYTES may be on its way."""


class Piece(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="Piece"):
    """By either: the next bytes of a stream, the first of them at this place in it. `last`: this side sends no more."""

    stream: Number
    at: Sequence
    data: Annotated[bytes, msgspec.Meta(max_length=PIECE_BYTES)]
    last: bool = False


class Taken(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="Taken"):
    """By either: so many bytes of the other's have gone on, and as many more may come."""

    stream: Number
    upto: Sequence


class Close(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="Close"):
    """By either: a stream is over, at once and both ways."""

    stream: Number


class Reset(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="Reset"):
    """By the broker. To a daemon: whoever carried its streams on is gone. To the gateway: that daemon's are over."""


Upward = Join | Open | Piece | Taken | Close | Reset
"""From daemons, and for a daemon that is gone from the broker, to the gateway."""
Downward = Joined | NotJoined | Piece | Taken | Close | Reset
"""From the gateway, or the broker itself, to daemons."""
