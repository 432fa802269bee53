"""The daemon: what it takes, doubled, late, unknown and malformed; and what it reports of it, in which order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.daemon.service import RECEIVES, SENDS
from shared.domain.ids import new_id
from shared.messages import channels
from shared.messages.commands import CancelTask, Drain, SpawnTask
from shared.messages.frames import COMMANDS, REPORT_REPLIES
from shared.messages.reports import (
    Ack,
    AnyReport,
    Goodbye,
    Heartbeat,
    Hello,
    Identify,
    NotYours,
    OutputBatch,
    Report,
    TaskAccepted,
    TaskInterrupted,
    TaskStarted,
    TaskSucceeded,
)
from tests.contract.frames import unreadable_batches
from tests.daemon_harness import DaemonHarness, no_process_of
from tests.delivery_harness import sh


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonHarness]:
    house = DaemonHarness(tmp_path_factory.mktemp("daemon"))
    yield house
    house.close()


@pytest.fixture
def house(theatre: DaemonHarness) -> Iterator[DaemonHarness]:
    """The module's daemon; at the end it lives, and has sent nothing but what it declares."""
    theatre.seen.clear()
    yield theatre
    assert theatre.process.poll() is None
    assert {type(r) for r in theatre.seen} <= SENDS["daemons"]


def told(house: DaemonHarness, command: SpawnTask) -> list[AnyReport]:
    """What was reported of an attempt, heartbeats aside."""
    return [r for r in house.seen if isinstance(r, Report) and r.task == command.task]


def test_it_takes_and_sends_what_the_channel_knows() -> None:
    assert SENDS["daemons"] <= frozenset(channels.REPORTS)
    assert {SpawnTask, CancelTask, Drain, Ack, NotYours, Identify} <= RECEIVES["daemons"]


def test_an_attempt_is_accepted_started_heard_and_ended_in_this_order_under_rising_numbers(
    house: DaemonHarness,
) -> None:
    spawn = house.spawn("echo hello; echo x > x")
    house.send(spawn)
    house.ending(spawn.task)
    reports = told(house, spawn)
    assert [type(r) for r in reports] == [TaskAccepted, TaskStarted, OutputBatch, TaskSucceeded]
    numbers = [r.seq for r in reports if isinstance(r, Report)]
    assert numbers == sorted(set(numbers))
    end = reports[-1]
    assert isinstance(end, TaskSucceeded) and end.base == sh(house.remote, "git", "rev-parse", "main")


def test_a_command_that_comes_twice_or_late_runs_once(house: DaemonHarness) -> None:
    spawn = house.spawn("echo once")
    house.send(spawn, spawn)
    house.ending(spawn.task)
    house.send(spawn)
    later = house.spawn("true")
    house.send(later)
    house.ending(later.task)
    assert sum(isinstance(r, TaskAccepted) for r in told(house, spawn)) == 1


def test_a_cancel_ends_it_once_and_one_for_nothing_in_hand_changes_nothing(house: DaemonHarness) -> None:
    spawn = house.spawn("sleep 1000")
    house.send(spawn)
    house.wait(lambda r: isinstance(r, TaskStarted) and r.task == spawn.task)
    cancel = CancelTask(task=spawn.task, attempt=1, owner="default", reason="enough")
    house.send(cancel, cancel, CancelTask(task=new_id(), attempt=1, owner="default"))
    ended = house.ending(spawn.task)
    assert isinstance(ended, TaskInterrupted)
    assert (ended.cancelled, ended.reason) == (True, "enough")
    assert no_process_of(spawn.task)


def test_what_is_not_its_own_any_more_ends_without_a_word(house: DaemonHarness) -> None:
    spawn = house.spawn("sleep 1000")
    house.send(spawn)
    house.wait(lambda r: isinstance(r, TaskStarted) and r.task == spawn.task)
    house.reply(NotYours(task=spawn.task, attempt=1))
    assert no_process_of(spawn.task)
    house.until(lambda: _idle(house))
    assert not [r for r in told(house, spawn) if not isinstance(r, TaskAccepted | TaskStarted)]


def _idle(house: DaemonHarness) -> bool:
    beats = [r for r in house.seen if isinstance(r, Heartbeat)]
    return bool(beats) and not beats[-1].running


def test_asked_who_it_is_it_says_hello_and_drained_it_says_so(house: DaemonHarness) -> None:
    house.reply(Identify())
    assert not _hello(house, draining=False).draining
    house.send(Drain(owner="default", daemon="d1"))  # type: ignore[arg-type]
    assert _hello(house, draining=True).draining
    house.send(Drain(owner="default", daemon="d1", on=False))  # type: ignore[arg-type]
    house.seen.clear()
    house.reply(Identify())
    assert not _hello(house, draining=False).draining


def _hello(house: DaemonHarness, *, draining: bool) -> Hello:
    hello = house.wait(lambda r: isinstance(r, Hello) and r.draining is draining)
    assert isinstance(hello, Hello)
    return hello


def test_what_is_not_acknowledged_comes_again_as_it_was(house: DaemonHarness) -> None:
    house.acknowledging = False
    spawn = house.spawn("true")
    house.send(spawn)
    first = house.ending(spawn.task)
    house.seen.clear()
    assert house.ending(spawn.task) == first
    house.acknowledging = True
    house.until(lambda: any(isinstance(r, Heartbeat) for r in house.seen))


def test_frames_that_it_can_not_read_change_nothing(house: DaemonHarness) -> None:
    good = house.spawn("touch never")
    frames = unreadable_batches(b"commands", COMMANDS.encode([good]))
    frames += unreadable_batches(b"acks", REPORT_REPLIES.encode([Ack(seqs=(1,))]))
    frames.append([b"nothing that is known", *frames[0][1:]])
    for frame in frames:
        house.router.send_multipart([b"d1", *frame])
    after = house.spawn("true")
    house.send(after)
    assert isinstance(house.ending(after.task), TaskSucceeded)
    assert told(house, good) == []


def test_stopped_it_says_goodbye(tmp_path_factory: pytest.TempPathFactory) -> None:
    house = DaemonHarness(tmp_path_factory.mktemp("leaving"))
    try:
        house.process.terminate()
        house.wait(lambda r: isinstance(r, Goodbye))
        assert house.process.wait(30) == 0
    finally:
        house.close()
