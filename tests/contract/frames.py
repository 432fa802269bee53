"""Frames that no receiver can read: each is to be counted, logged and skipped, whatever channel it comes by."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from shared.domain.ids import new_id
from shared.messages.frames import VERSION, Header, header

_pack = msgspec.msgpack.encode


def header_of_version(version: int) -> bytes:
    """A header as a sender of that version would write it."""
    return _pack(Header(v=version, id=new_id(), at=datetime.now(UTC), sender="test"))


UNREADABLE_HEADERS = {
    "an empty header": b"",
    "a header of random bytes": b"\xc1\xff\x00",
    "a header without an id": _pack({"v": VERSION, "at": "now"}),
    "a header of an unknown version": header_of_version(VERSION + 100),
    "a header of version nought": header_of_version(0),
}
UNREADABLE_BODIES = {
    "an empty body": b"",
    "a body of random bytes": b"\xc1\xff\x00",
    "a body cut short": b"\x93\x01",
    "a body of text": _pack("drop table makima.task"),
    "a list in a list": _pack([[[]]]),
}
UNKNOWN_TYPE = {"type": "FromTheFuture", "directive": str(new_id()), "colour": "red"}


def unreadable_events(topic: str) -> list[list[bytes]]:
    """Frames of the events' socket under a topic that somebody subscribes to."""
    good = _pack({"type": topic, "directive": None})
    return _unreadable([topic.encode() + b"/"], good, _pack(UNKNOWN_TYPE), _pack({"type": topic, "directive": 7}))


def unreadable_batches(topic: bytes, good: bytes, *between: bytes) -> list[list[bytes]]:
    """Frames of an acknowledged channel: `topic`, header, what stands `between`, and a list of messages."""
    wrong = _pack([{"type": "TaskFailed", "seq": "one", "task": 7}])
    return _unreadable([topic], good, _pack([UNKNOWN_TYPE]), wrong, between=list(between))


def _unreadable(
    start: list[bytes], good: bytes, unknown: bytes, wrong: bytes, between: list[bytes] | None = None
) -> list[list[bytes]]:
    middle = between or []
    frames = [[*start, head, *middle, good] for head in UNREADABLE_HEADERS.values()]
    frames += [[*start, header("test"), *middle, body] for body in (*UNREADABLE_BODIES.values(), unknown, wrong)]
    return [*frames, start, [*start, header("test")], [*start, header("test"), *middle, good, b"one too many"]]
