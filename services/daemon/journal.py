"""The reports that no monitor has acknowledged yet, on disk: they survive a kill, and are sent again."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from uuid import UUID

import msgspec

from shared.messages.frames import REPORTS
from shared.messages.reports import OutputBatch, Report, Running, TaskAccepted

_RECORD = struct.Struct(">II")
_COMPACT_BYTES = 1 << 20


class _Acknowledged(msgspec.Struct, frozen=True, array_like=True):
    seqs: tuple[int, ...]


class Journal:
    """An append-only file of records, each with its length and checksum; a torn last one is dropped."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self.unacknowledged: dict[int, Report] = {}
        self.in_hand: set[tuple[UUID, int]] = set()
        self._next = 1
        self._load()
        self._file = path.open("ab")
        self._compact()

    def next_seq(self) -> int:
        """A number that no report of this daemon has had."""
        self._next += 1
        return self._next - 1

    def add(self, report: Report) -> None:
        """Keep a report until it is acknowledged; durable on return, unless it is output."""
        self.unacknowledged[report.seq] = report
        self._track(report)
        self._append(b"R" + REPORTS.encode([report]))  # type: ignore[list-item]
        if not isinstance(report, OutputBatch):
            os.fsync(self._file.fileno())

    def acknowledge(self, seqs: tuple[int, ...]) -> None:
        """Forget reports that are durable elsewhere."""
        for seq in seqs:
            self.unacknowledged.pop(seq, None)
        self._append(b"A" + msgspec.msgpack.encode(_Acknowledged(seqs)))
        if self._file.tell() > _COMPACT_BYTES and not self.unacknowledged:
            self._compact()

    def forget(self, running: Running) -> None:
        """Forget the reports of an attempt that isn't ours any more."""
        mine = [s for s, r in self.unacknowledged.items() if (r.task, r.attempt) == (running.task, running.attempt)]
        self.in_hand.discard((running.task, running.attempt))
        self.acknowledge(tuple(mine))

    def _track(self, report: Report) -> None:
        if isinstance(report, TaskAccepted):
            self.in_hand.add((report.task, report.attempt))
        elif type(report).__name__ in ("TaskSucceeded", "TaskFailed", "TaskInterrupted"):
            self.in_hand.discard((report.task, report.attempt))

    def _append(self, record: bytes) -> None:
        self._file.write(_RECORD.pack(len(record), zlib.crc32(record)) + record)
        self._file.flush()

    def _load(self) -> None:
        data = self._path.read_bytes() if self._path.exists() else b""
        at = 0
        while at + _RECORD.size <= len(data):
            length, checksum = _RECORD.unpack_from(data, at)
            record = data[at + _RECORD.size : at + _RECORD.size + length]
            if len(record) < length or zlib.crc32(record) != checksum:
                break
            at += _RECORD.size + length
            self._replay(record)

    def _replay(self, record: bytes) -> None:
        kind, body = record[:1], record[1:]
        if kind == b"R":
            for report in REPORTS.decode(body):
                assert isinstance(report, Report)
                self.unacknowledged[report.seq] = report
                self._track(report)
                self._next = max(self._next, report.seq + 1)
        elif kind == b"A":
            for seq in msgspec.msgpack.decode(body, type=_Acknowledged).seqs:
                self.unacknowledged.pop(seq, None)
        elif kind == b"N":
            self._next = max(self._next, int(body))
        elif kind == b"H":
            task, attempt = body.decode().split("/")
            self.in_hand.add((UUID(task), int(attempt)))

    def _compact(self) -> None:
        self._file.close()
        draft = self._path.with_suffix(".draft")
        self._file = draft.open("wb")
        self._append(b"N" + str(self._next).encode())
        for task, attempt in self.in_hand:
            self._append(f"H{task}/{attempt}".encode())
        for report in self.unacknowledged.values():
            self._append(b"R" + REPORTS.encode([report]))  # type: ignore[list-item]
        os.fsync(self._file.fileno())
        draft.replace(self._path)
