"""The daemon's journal: what isn't acknowledged is there after a kill, a torn last record or not."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from services.daemon.processes.tree import Group
from services.daemon.reports import journal as module
from services.daemon.reports.journal import Journal
from shared.domain.ids import new_id
from shared.messages.reports import OutputBatch, TaskAccepted, TaskSucceeded


def accepted(journal: Journal) -> TaskAccepted:
    report = TaskAccepted(seq=journal.next_seq(), task=new_id(), attempt=1)
    journal.add(report)
    return report


def ended(journal: Journal, of: TaskAccepted) -> TaskSucceeded:
    report = TaskSucceeded(seq=journal.next_seq(), task=of.task, attempt=of.attempt, outcome="well")
    journal.add(report)
    return report


def test_unacknowledged_reports_and_what_was_in_hand_survive(tmp_path: Path) -> None:
    path, task = tmp_path / "journal", new_id()
    journal = Journal(path)
    accepted = TaskAccepted(seq=journal.next_seq(), task=task, attempt=1)
    done = TaskSucceeded(seq=journal.next_seq(), task=new_id(), attempt=1)
    journal.add(accepted)
    journal.add(done)
    journal.acknowledge((accepted.seq,))
    with path.open("ab") as torn:
        torn.write(b"\0\0\0\xff half a rec")
    again = Journal(path)
    assert again.unacknowledged == {done.seq: done}
    assert set(again.in_hand) == {(task, 1)}
    assert again.next_seq() > done.seq


def test_an_attempt_that_ended_is_remembered(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    first, second = accepted(journal), accepted(journal)
    end = ended(journal, first)
    journal.acknowledge((second.seq,))
    again = Journal(tmp_path / "journal")
    assert again.unacknowledged == {first.seq: first, end.seq: end}
    assert set(again.in_hand) == {(second.task, 1)}
    assert again.has_ended((first.task, 1)) and not again.has_ended((second.task, 1))


def test_numbers_are_never_given_twice(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    used = [accepted(journal).seq for _ in range(5)]
    journal.acknowledge(tuple(used))
    once = Journal(tmp_path / "journal")
    assert once.next_seq() > max(used)
    assert Journal(tmp_path / "journal").next_seq() > max(used)


def test_a_journal_torn_at_any_byte_keeps_every_whole_record(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    first = accepted(journal)
    whole = path.stat().st_size
    accepted(journal)
    data = path.read_bytes()
    for length in range(whole, len(data)):
        path.write_bytes(data[:length])
        assert Journal(path).unacknowledged == {first.seq: first}, length


def test_a_damaged_record_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first = accepted(Journal(path))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert first.seq not in Journal(path).unacknowledged


def test_after_a_torn_record_the_journal_is_written_on(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    accepted(Journal(path))
    path.write_bytes(path.read_bytes()[:-1])
    report = accepted(Journal(path))
    assert Journal(path).unacknowledged == {report.seq: report}


def test_it_is_compacted_once_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPACT_BYTES", 10_000)
    path = tmp_path / "journal"
    journal = Journal(path)
    kept = accepted(journal)
    for _ in range(100):
        batch = OutputBatch(
            seq=journal.next_seq(), task=kept.task, attempt=1, directive=new_id(), first=0, lines=("x" * 1000,)
        )
        journal.add(batch)
        journal.acknowledge((batch.seq,))
    assert path.stat().st_size < 20_000
    assert Journal(path).unacknowledged == {kept.seq: kept}


def test_a_late_acceptance_does_not_bring_an_ended_attempt_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    first = accepted(journal)
    end = ended(journal, first)
    journal.acknowledge((end.seq,))
    Journal(tmp_path / "journal")
    assert Journal(tmp_path / "journal").in_hand == {}


def test_process_groups_survive(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    report = accepted(journal)
    journal.runs((report.task, 1), Group(42, 4711))
    assert Journal(tmp_path / "journal").in_hand == {(report.task, 1): Group(42, 4711)}
    assert Journal(tmp_path / "journal").in_hand == {(report.task, 1): Group(42, 4711)}


def test_what_is_not_ours_is_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    report, other = accepted(journal), accepted(journal)
    journal.forget((report.task, 1))
    again = Journal(tmp_path / "journal")
    assert again.unacknowledged == {other.seq: other}
    assert set(again.in_hand) == {(other.task, 1)} and again.has_ended((report.task, 1))


def test_a_full_disk_leaves_a_journal_that_can_be_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    report = accepted(journal)
    good = journal._file
    journal._file = _Short(good)  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space left"):
        accepted(journal)
    journal._file = good
    later = accepted(journal)
    again = Journal(tmp_path / "journal")
    assert again.unacknowledged == {report.seq: report, later.seq: later}


class _Short:
    """A file on a disk that takes only half of what is written."""

    def __init__(self, file: object) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        return int(self._file.write(data[: len(data) // 2]))  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


def test_a_journal_that_takes_a_lost_ones_place_gives_none_of_its_numbers(tmp_path: Path) -> None:
    lost = Journal(tmp_path / "lost")
    used = {accepted(lost).seq for _ in range(5)}
    new = accepted(Journal(tmp_path / "new"))
    assert new.seq not in used


def test_a_record_that_nobody_can_read_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    report = accepted(Journal(path))
    for body in (b"\x91" * 5000 + b"\xc0", b"\x90", b"\xd9\x03\xed\xa0\xbd"):
        with path.open("ab") as file:
            file.write(module._RECORD.pack(len(body), zlib.crc32(body)) + body)
    later = accepted(Journal(path))
    assert Journal(path).unacknowledged == {report.seq: report, later.seq: later}
