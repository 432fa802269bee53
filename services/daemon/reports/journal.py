"""The reports that no monitor has acknowledged yet, on disk: they survive a kill, and are sent again."""

from __future__ import annotations

import errno
import os
import struct
import time
import zlib
from pathlib import Path
from uuid import UUID

import msgspec

from services.daemon.processes.tree import Group
from shared.failpoints import hit
from shared.messages.frames import REPORTS
from shared.messages.reports import Report, TaskAccepted, TaskFailed, TaskInterrupted, TaskSucceeded
from shared.messages.unreadable import UNREADABLE

COMPACT_BYTES = 1 << 20
MAX_ENDED = 4096
"""So many of the attempts that have ended are remembered, so that a command that comes again runs nothing."""

AttemptKey = tuple[UUID, int]
_RECORD = struct.Struct(">II")


class _Reported(msgspec.Struct, frozen=True, tag="R"):
    report: msgspec.Raw


class _Acknowledged(msgspec.Struct, frozen=True, tag="A"):
    seqs: tuple[int, ...]


class _Next(msgspec.Struct, frozen=True, tag="N"):
    seq: int


class _InHand(msgspec.Struct, frozen=True, tag="H"):
    task: UUID
    attempt: int
    leader: int | None = None
    started: int = 0


class _Ended(msgspec.Struct, frozen=True, tag="E"):
    task: UUID
    attempt: int


_Record = _Reported | _Acknowledged | _Next | _InHand | _Ended
_decoder: msgspec.msgpack.Decoder[_Record] = msgspec.msgpack.Decoder(_Record)


class Recorded:
    """What a journal holds. Only reads it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.unacknowledged: dict[int, Report] = {}
        self.in_hand: dict[AttemptKey, Group | None] = {}
        """Accepted and not ended, with the process group once there is one."""
        self._ended: dict[AttemptKey, None] = {}
        self._next = 1
        self._load()

    def _load(self) -> None:
        data = self._path.read_bytes() if self._path.exists() else b""
        at = 0
        while at + _RECORD.size <= len(data):
            length, checksum = _RECORD.unpack_from(data, at)
            body = data[at + _RECORD.size : at + _RECORD.size + length]
            if len(body) < length or zlib.crc32(body) != checksum:
                return
            at += _RECORD.size + length
            try:
                self._replay(_decoder.decode(body))
            except UNREADABLE:
                continue  # a record of another version, or none at all

    def _replay(self, record: _Record) -> None:
        match record:
            case _Reported():
                (report,) = REPORTS.decode(b"\x91" + bytes(record.report))
                if not isinstance(report, Report):
                    raise TypeError(f"{type(report).__name__} is never journaled")
                self.unacknowledged[report.seq] = report
                self._track(report)
                self._next = max(self._next, report.seq + 1)
            case _Acknowledged():
                for seq in record.seqs:
                    self.unacknowledged.pop(seq, None)
            case _Next():
                self._next = max(self._next, record.seq)
            case _InHand():
                group = None if record.leader is None else Group(record.leader, record.started)
                self.in_hand[record.task, record.attempt] = group
            case _Ended():
                self._end((record.task, record.attempt))

    def _track(self, report: Report) -> None:
        if isinstance(report, TaskAccepted):
            if (report.task, report.attempt) not in self._ended:
                self.in_hand.setdefault((report.task, report.attempt), None)
        elif isinstance(report, TaskSucceeded | TaskFailed | TaskInterrupted):
            self._end((report.task, report.attempt))

    def _end(self, attempt: AttemptKey) -> None:
        self.in_hand.pop(attempt, None)
        self._ended[attempt] = None
        while len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]


class Journal(Recorded):
    """An append-only file of MessagePack records, each with its length and checksum; a torn last one is dropped.

    Every method that writes raises OSError when the disk refuses; what is in memory is right all the same.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path)
        self._live_bytes = 0
        self._file = path.open("ab", buffering=0)
        # A late acknowledgement of a report in a journal that was lost is of no report in this one.
        self._next = max(self._next, time.time_ns() // 1000)
        self._compact()

    def next_seq(self) -> int:
        """A number that no report of this daemon has had, in this life or an earlier one."""
        self._next += 1
        return self._next - 1

    def add(self, report: Report) -> None:
        """Keep a report until it is acknowledged. One that ends an attempt is on the disk on return."""
        self.unacknowledged[report.seq] = report
        self._track(report)
        self._append(_reported(report))
        if isinstance(report, TaskSucceeded | TaskFailed | TaskInterrupted):
            hit("daemon.journal", "before_sync")
            os.fsync(self._file.fileno())
            hit("daemon.journal", "after_sync")

    def runs(self, attempt: AttemptKey, group: Group) -> None:
        """Note the process group of an attempt in hand."""
        self.in_hand[attempt] = group
        self._append(_in_hand(attempt, group))

    def acknowledge(self, seqs: tuple[int, ...]) -> None:
        """Forget reports that are durable elsewhere."""
        known = tuple(s for s in seqs if self.unacknowledged.pop(s, None) is not None)
        if not known:
            return
        self._append(_Acknowledged(known))
        live = self._live_bytes if self.unacknowledged else 0
        if self._file.tell() > 2 * live + COMPACT_BYTES:
            self._compact()

    def forget(self, attempt: AttemptKey) -> None:
        """Forget the reports of an attempt that isn't ours any more."""
        mine = tuple(s for s, r in self.unacknowledged.items() if (r.task, r.attempt) == attempt)
        self._end(attempt)
        self._append(_Ended(*attempt))
        self.acknowledge(mine)

    def rewrite(self) -> None:
        """Write all that matters anew: after the disk has refused, the file may lack what is in memory."""
        self._compact()

    def has_ended(self, attempt: AttemptKey) -> bool:
        """Whether this daemon ran it to an end before, or was told that it isn't its own."""
        return attempt in self._ended

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def _append(self, record: _Record) -> None:
        body = msgspec.msgpack.encode(record)
        data = _RECORD.pack(len(body), zlib.crc32(body)) + body
        begin = self._file.tell()
        hit("daemon.journal", "before_write")
        try:
            if self._file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        except OSError:
            self._file.truncate(begin)  # a torn record would hide those that follow it
            self._file.seek(begin)
            raise
        hit("daemon.journal", "after_write")

    def _compact(self) -> None:
        """Write what still matters to a fresh file, and put that in the old one's place."""
        draft = self._path.with_suffix(".draft")
        records: list[_Record] = [
            _Next(self._next),
            *(_Ended(*a) for a in self._ended),
            *(_reported(r) for r in self.unacknowledged.values()),
            *(_in_hand(a, g) for a, g in self.in_hand.items()),
        ]
        old, self._file = self._file, draft.open("wb", buffering=0)
        try:
            for record in records:
                self._append(record)
            hit("daemon.journal", "before_compact")
            os.fsync(self._file.fileno())
            draft.replace(self._path)
            hit("daemon.journal", "after_compact")
        except OSError:
            self._file.close()
            self._file = old
            raise
        self._live_bytes = self._file.tell()
        old.close()


def _reported(report: Report) -> _Reported:
    return _Reported(msgspec.Raw(msgspec.msgpack.encode(report)))


def _in_hand(attempt: AttemptKey, group: Group | None) -> _InHand:
    task, number = attempt
    return _InHand(task, number, group.leader if group else None, group.started if group else 0)
