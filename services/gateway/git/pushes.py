"""What a push asks for, read before git sees it, and how it is refused in git's own words. Pure.

https://git-scm.com/docs/gitprotocol-pack#_reference_update_request_and_packfile_transfer
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

MAX_BYTES = 1 << 20
"""Of a push's commands, besides its pack."""
_LONGEST_LINE = 65520
_OID = rb"(?:[0-9a-f]{40}|[0-9a-f]{64})"
_COMMAND = re.compile(rb"(%b) (%b) ([^\0]+)(?:\0(.*))?" % (_OID, _OID), re.DOTALL)
_SHALLOW = re.compile(rb"shallow %b" % _OID)
_FLUSH = b"0000"
_ONE_BAND = 65515
"""Bytes in a packet of the side-band, besides its length and its band."""


class Malformed(ValueError):
    """What came is no list of commands that git would send for makima."""


class Command(msgspec.Struct, frozen=True):
    """One ref that a push moves from one commit to another; to none: it removes it."""

    ref: str
    new: str

    @property
    def removes(self) -> bool:
        """Whether it removes the ref."""
        return not self.new.strip("0")


class Commands:
    """The commands at the beginning of a push, as they come in."""

    def __init__(self) -> None:
        self.raw = bytearray()
        """All that has come, the beginning of the pack with it."""
        self.found: list[Command] = []
        self.capabilities: frozenset[str] = frozenset()
        self._at = 0

    def feed(self, data: bytes) -> bool:
        """Take in what comes next; whether all of the commands are there. Raises Malformed."""
        self.raw += data
        while (line := self._next()) is not None:
            if line == _FLUSH:
                return True
            self._take(line[4:].removesuffix(b"\n"))
        if len(self.raw) > MAX_BYTES:
            raise Malformed(f"its commands are longer than {MAX_BYTES >> 20} MiB")
        return False

    def _next(self) -> bytes | None:
        """The next whole line, with its length before it."""
        head = bytes(self.raw[self._at : self._at + 4])
        if len(head) < 4:
            return None
        if not re.fullmatch(rb"[0-9a-fA-F]{4}", head):
            raise Malformed("it is not made of pkt-lines")
        size = int(head, 16)
        if size == 0:
            self._at += 4
            return _FLUSH
        if not 4 < size <= _LONGEST_LINE:
            raise Malformed(f"it has a pkt-line of {size} bytes")
        if len(self.raw) < self._at + size or self._at + size > MAX_BYTES:
            return None
        line = bytes(self.raw[self._at : self._at + size])
        self._at += size
        return line

    def _take(self, line: bytes) -> None:
        if not self.found and _SHALLOW.fullmatch(line):
            return
        match = _COMMAND.fullmatch(line)
        if match is None or len(match[1]) != len(match[2]) or (self.found and match[4] is not None):
            raise Malformed(f"it holds {line[:60].decode(errors='replace')!r}, which is no command")
        try:
            ref, capabilities = match[3].decode(), (match[4] or b"").decode()
        except UnicodeDecodeError:
            raise Malformed("it names a ref that is no UTF-8") from None
        self.capabilities = self.capabilities or frozenset(capabilities.split())
        self.found.append(Command(ref, match[2].decode()))

    @property
    def takes_words(self) -> bool:
        """Whether whoever pushes wants to be told of each ref."""
        return not self.capabilities.isdisjoint(("report-status", "report-status-v2"))


def refused(commands: Commands, why: Mapping[str, str]) -> bytes:
    """git's answer to a push of which nothing is done, since these refs may not be pushed."""
    beside = "another ref of the same push is refused"
    words = [f"ng {one.ref} {why.get(one.ref, beside)}\n".encode() for one in commands.found]
    report = _lines((b"unpack ok\n", *words))
    return _banded(report) if "side-band-64k" in commands.capabilities else report


def line(data: bytes) -> bytes:
    """A pkt-line.

    >>> line(b"done")
    b'0008done'
    """
    return b"%04x%b" % (len(data) + 4, data)


def _lines(lines: Iterable[bytes]) -> bytes:
    return b"".join((*(line(one[: _LONGEST_LINE - 4]) for one in lines), _FLUSH))


def _banded(report: bytes) -> bytes:
    parts: Sequence[bytes] = [report[at : at + _ONE_BAND] for at in range(0, len(report), _ONE_BAND)]
    return _lines(b"\x01" + part for part in parts)
