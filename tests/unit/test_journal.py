"""The daemon's journal: what isn't acknowledged is there after a kill, a torn last record or not."""

from pathlib import Path

from services.daemon.journal import Journal
from shared.domain.ids import new_id
from shared.messages.reports import TaskAccepted, TaskSucceeded


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
    assert again.in_hand == {(task, 1)}
    assert again.next_seq() > done.seq
