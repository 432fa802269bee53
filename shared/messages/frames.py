"""Frames on the wire: `[topic, header, body]`, header and body in MessagePack.

An event's body is one message, or a list of messages of one topic; a command's, report's or reply's body is a list of
messages and its topic the channel's name. A receiver skips and counts what it can't read, and never dies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from shared.domain.ids import new_id
from shared.messages.commands import AnyCommand, AnyReply
from shared.messages.events import AnyEvent, Event
from shared.messages.link import Downward, Upward
from shared.messages.reports import AnyReport, AnyReportReply
from shared.messages.topics import event_type, topic
from shared.messages.unreadable import UNREADABLE

VERSION = 1
LIMIT_BYTES = 4 << 20
"""Sizes over this are refused by their sender. The order to deliver a directive of ten thousand steps is below it."""
_LIST_BYTES = 5
"""The most that MessagePack takes to say how long a list is."""

M = TypeVar("M")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Who sent it, when (UTC), under which schema version."""

    v: int = VERSION
    id: UUID
    at: datetime
    sender: str


class FrameTooLarge(ValueError):
    """A body over LIMIT_BYTES: which message it was."""


class FrameUnreadable(ValueError):
    """Bytes that are no frame of this version, or a type that isn't known here."""


_header = msgspec.msgpack.Decoder(Header)
_encoder = msgspec.msgpack.Encoder()


def header(sender: str) -> bytes:
    """A fresh header, encoded."""
    return _encoder.encode(Header(id=new_id(), at=datetime.now(UTC), sender=sender))


def read_header(data: bytes) -> Header:
    """The header of a frame. Raises FrameUnreadable on anything else, and on a version beyond the next one."""
    try:
        decoded = _header.decode(data)
    except UNREADABLE as error:
        raise FrameUnreadable(f"header: {error}") from None
    if not 1 <= decoded.v <= VERSION + 1:
        raise FrameUnreadable(f"header: version {decoded.v}")
    return decoded


def exactly(parts: Sequence[bytes], number: int) -> Sequence[bytes]:
    """The parts of a frame, of which there are so many. Raises FrameUnreadable when there aren't."""
    if len(parts) != number:
        raise FrameUnreadable(f"{len(parts)} parts instead of {number}")
    return parts


class Batch(Generic[M]):
    """Codec of one channel's bodies: a list of messages of one tagged union.

    >>> from shared.messages.reports import Ack
    >>> REPORT_REPLIES.decode(REPORT_REPLIES.encode([Ack(seqs=(1,))]))
    [Ack(seqs=(1,))]
    """

    def __init__(self, union: object) -> None:
        self._decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])
        self._item: msgspec.msgpack.Decoder[M] = msgspec.msgpack.Decoder(union)
        self._whole: msgspec.msgpack.Decoder[list[M]] = msgspec.msgpack.Decoder(list[union])  # type: ignore[valid-type]

    def encode(self, messages: Sequence[M]) -> bytes:
        """The body. Raises FrameTooLarge."""
        body = _encoder.encode(messages)
        if len(body) > LIMIT_BYTES:
            names = sorted({type(m).__name__ for m in messages})
            raise FrameTooLarge(f"{len(messages)} x {', '.join(names)}: {len(body)} bytes, at most {LIMIT_BYTES}")
        return body

    def bodies(self, messages: Iterable[M], most: int) -> tuple[list[bytes], list[M]]:
        """The messages in order in bodies of at most `most` under the limit; and those too large for any body."""
        cut: list[list[msgspec.Raw]] = []
        too_large: list[M] = []
        budget = 0
        for message in messages:
            raw = _encoder.encode(message)
            if len(raw) > LIMIT_BYTES - _LIST_BYTES:
                too_large.append(message)
                continue
            if not cut or len(cut[-1]) == most or len(raw) > budget:
                cut.append([])
                budget = LIMIT_BYTES - _LIST_BYTES
            cut[-1].append(msgspec.Raw(raw))
            budget -= len(raw)
        return [_encoder.encode(raws) for raws in cut], too_large

    def decode(self, body: bytes, skipped: Callable[[str], None] = lambda _: None) -> list[M]:
        """The messages; of those that can't be read, none: `skipped` is called with why, once for each.

        Raises FrameUnreadable when the body is no list at all.
        """
        try:
            return self._whole.decode(body)
        except UNREADABLE:
            pass  # one of them is unknown here: read what can be read, one by one
        try:
            raws = self._decoder.decode(body)
        except UNREADABLE as error:
            raise FrameUnreadable(f"body: {error}") from None
        known: list[M] = []
        for raw in raws:
            try:
                known.append(self._item.decode(raw))
            except UNREADABLE as error:
                skipped(f"body: {error}")
        return known


COMMANDS: Batch[AnyCommand] = Batch(AnyCommand)
REPLIES: Batch[AnyReply] = Batch(AnyReply)
REPORTS: Batch[AnyReport] = Batch(AnyReport)
REPORT_REPLIES: Batch[AnyReportReply] = Batch(AnyReportReply)
UPWARD: Batch[Upward] = Batch(Upward)
DOWNWARD: Batch[Downward] = Batch(Downward)
_events: msgspec.msgpack.Decoder[AnyEvent | list[AnyEvent]] = msgspec.msgpack.Decoder(AnyEvent | list[AnyEvent])


def encode_event(event: Event, sender: str) -> list[bytes]:
    """The three parts of an event. Raises FrameTooLarge."""
    return encode_events([event], sender)


def encode_events(events: Sequence[Event], sender: str) -> list[bytes]:
    """The three parts of events of one topic; several are a list in one body. Raises FrameTooLarge."""
    first, *more = events
    body = _encoder.encode(events if more else first)
    if len(body) > LIMIT_BYTES:
        raise FrameTooLarge(f"{event_type(first)}: {len(body)} bytes, at most {LIMIT_BYTES}")
    return [topic(first).encode(), header(sender), body]


def decode_event(parts: Sequence[bytes]) -> AnyEvent:
    """The event in a frame of one. Raises FrameUnreadable."""
    return decode_events(parts)[0]


def decode_events(parts: Sequence[bytes]) -> list[AnyEvent]:
    """The events in a frame, at least one. Raises FrameUnreadable."""
    _, head, body = exactly(parts, 3)
    read_header(head)
    try:
        decoded = _events.decode(body)
    except UNREADABLE as error:
        raise FrameUnreadable(f"body: {error}") from None
    events = decoded if isinstance(decoded, list) else [decoded]
    if not events:
        raise FrameUnreadable("body: no event")
    return events
