"""The monitor's reports: each is written, then acknowledged; doubled, late, foreign and broken ones change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from shared.domain.ids import new_id
from shared.messages.events import DirectiveChanged, Event, SlotsFree, StepAdded, StepChanged, StepReady, TaskChanged
from shared.messages.frames import REPORTS, header
from shared.messages.reports import (
    Ack,
    Goodbye,
    Heartbeat,
    Hello,
    Identify,
    NotYours,
    OutputBatch,
    Running,
    TaskAccepted,
    TaskFailed,
    TaskInterrupted,
    TaskStarted,
    TaskSucceeded,
)
from shared.messages.topics import topic
from tests.contract.frames import unreadable_batches, unreadable_events
from tests.contract.service_harness import ServiceHarness

SERVICE = "monitor"


def fence(stage: ServiceHarness) -> None:
    """All that the monitor was told before has been done when this returns."""
    stage.report(TaskAccepted(seq=9_000, task=new_id(), attempt=1), daemon="fence")
    stage.await_acknowledged(9_000, daemon="fence")
    stage.acks[:] = [(d, a) for d, a in stage.acks if d != "fence"]


def started(stage: ServiceHarness, **columns: Any) -> tuple[Any, Any, Any]:
    """A directive with a step whose task was sent to a daemon: the three ids."""
    directive = stage.rows.directive()
    step = stage.rows.step(directive, "Build", status="ready")
    values = {"name": "Build", "status": "starting", "lease_until": "2100-01-01", **columns}
    task = stage.rows.task(directive, step=step, **values)
    return directive, step, task


def test_an_attempts_whole_life_moves_its_task_and_step_and_the_next_step(stage: ServiceHarness) -> None:
    directive, step, task = started(stage)
    after = stage.rows.step(directive, "After", depends_on=[step])
    stage.report(TaskAccepted(seq=1, task=task, attempt=1))
    stage.await_acknowledged(1)
    assert stage.rows.one("task", task)["daemon"] == "d1"
    stage.report(TaskStarted(seq=2, task=task, attempt=1, branch="makima/b", session="s"))
    stage.await_event(StepChanged, step=step, status="running")
    stage.await_event(TaskChanged, task=task, status="running", daemon="d1")
    stage.report(TaskSucceeded(seq=3, task=task, attempt=1, branch="makima/b", head="abc", outcome="Built.", tokens=7))
    stage.await_event(StepChanged, step=step, status="completed")
    assert stage.await_event(StepReady, directive=directive).steps == (after,)
    stage.await_acknowledged(3)
    row = stage.rows.one("task", task)
    assert (row["status"], row["branch"], row["head"], row["outcome"], row["tokens"], row["lease_until"]) == (
        "completed", "makima/b", "abc", "Built.", 7, None
    )  # fmt: skip
    assert stage.rows.one("step", step)["branch"] == "makima/b"
    (attempt,) = stage.rows.all("attempt", task_id=task)
    assert (attempt["number"], attempt["daemon"], attempt["outcome"]) == (1, "d1", "succeeded")


def test_the_last_step_leaves_the_directive_idle(stage: ServiceHarness) -> None:
    directive, _, task = started(stage)
    stage.report(TaskSucceeded(seq=1, task=task, attempt=1, branch="b"))
    stage.await_event(DirectiveChanged, directive=directive, status="idle")


def test_a_report_said_twice_is_acknowledged_twice_and_counts_once(stage: ServiceHarness) -> None:
    _, _, task = started(stage)
    report = TaskSucceeded(seq=1, task=task, attempt=1, branch="b", tokens=5)
    stage.report(report, report)
    stage.report(report)
    stage.until(lambda: len(stage.acknowledged()) == 3, "three acknowledgements")
    assert stage.rows.one("task", task)["tokens"] == 5
    assert len(stage.rows.all("attempt", task_id=task)) == 1
    assert not [a for _, a in stage.acks if isinstance(a, NotYours)]


def test_a_failure_runs_again_as_the_next_attempt_until_its_attempts_are_spent(stage: ServiceHarness) -> None:
    directive, step, task = started(stage)
    stage.report(TaskFailed(seq=1, task=task, attempt=1, reason="exit code 3", exit_code=3, tail="oh"))
    changed = stage.await_event(TaskChanged, task=task, status="pending")
    assert (changed.attempt, changed.reason) == (2, "exit code 3")
    stage.rows.change("task", task, status="starting", lease_until="2100-01-01")
    stage.report(TaskFailed(seq=2, task=task, attempt=2, reason="exit code 4"))
    stage.await_event(StepChanged, step=step, status="failed")
    assert [a["outcome"] for a in stage.rows.all("attempt", task_id=task)] == ["failed", "failed"]
    assert stage.rows.one("step", step)["reason"] == "exit code 4"
    assert directive in {e.directive for e in stage.events}


def test_an_interruption_is_no_failure(stage: ServiceHarness) -> None:
    _, _, task = started(stage)
    stage.report(TaskInterrupted(seq=1, task=task, attempt=1, reason="the daemon stops", branch="makima/kept"))
    stage.await_event(TaskChanged, task=task, status="pending", attempt=2)
    row = stage.rows.one("task", task)
    assert (row["failures"], row["losses"], row["daemon"], row["kept_branch"]) == (0, 1, None, "makima/kept")


@pytest.mark.parametrize(("daemon", "attempt"), [("d2", 2), ("d1", 1), ("d1", 3)])
def test_what_is_not_the_live_attempt_of_that_daemon_is_not_theirs(
    stage: ServiceHarness, daemon: str, attempt: int
) -> None:
    directive = stage.rows.directive()
    step = stage.rows.step(directive, status="running")
    task = stage.rows.task(directive, step=step, status="running", attempt=2, daemon="d1", lease_until="2100-01-01")
    stage.report(TaskSucceeded(seq=1, task=task, attempt=attempt, branch="stale"), daemon=daemon)
    stage.await_ack(NotYours, daemon=daemon, task=task, attempt=attempt)
    assert stage.rows.one("task", task)["status"] == "running"
    assert stage.rows.one("step", step)["branch"] is None


def test_a_report_on_a_task_that_is_not_there_is_refused_and_acknowledged(stage: ServiceHarness) -> None:
    task = new_id()
    stage.report(TaskStarted(seq=1, task=task, attempt=1))
    stage.await_ack(NotYours, task=task)
    stage.await_acknowledged(1)


def test_output_is_kept_in_order_and_once(stage: ServiceHarness) -> None:
    directive, _, task = started(stage)
    stage.report(TaskAccepted(seq=1, task=task, attempt=1))
    first = OutputBatch(seq=2, task=task, attempt=1, directive=directive, first=0, lines=("a", "b"))
    second = OutputBatch(seq=3, task=task, attempt=1, directive=directive, first=2, lines=("c",))
    stage.report(first, second, first)
    stage.await_acknowledged(3)
    fence(stage)
    rows = sorted(stage.rows.all("task_output", task_id=task), key=lambda r: r["first_seq"])
    assert [(r["first_seq"], r["last_seq"]) for r in rows] == [(0, 1), (2, 2)]


def test_output_of_a_task_that_is_not_there_holds_up_nobody(stage: ServiceHarness) -> None:
    _, step, task = started(stage)
    stray = OutputBatch(seq=1, task=new_id(), attempt=1, directive=new_id(), first=0, lines=("x",))
    stage.report(stray, TaskSucceeded(seq=2, task=task, attempt=1, branch="b"))
    stage.await_event(StepChanged, step=step, status="completed")
    stage.await_acknowledged(2)


@pytest.mark.parametrize(
    "poison",
    [{"reason": "a NUL \0 in it"}, {"reason": "x", "tokens": 10**17}],
    ids=["a NUL", "more tokens together than Postgres holds"],
)
def test_a_report_that_cannot_be_written_holds_up_nobody(stage: ServiceHarness, poison: dict[str, Any]) -> None:
    _, _, broken = started(stage, tokens=2**63 - 10)
    _, step, task = started(stage)
    values: dict[str, Any] = {"seq": 1, "task": broken, "attempt": 1, **poison}
    stage.report(TaskFailed(**values), TaskSucceeded(seq=2, task=task, attempt=1, branch="b"))
    stage.await_event(StepChanged, step=step, status="completed")
    stage.await_acknowledged(1)
    stage.await_acknowledged(2)
    assert stage.alive


def test_a_hello_makes_a_daemon_known_and_a_goodbye_gone(stage: ServiceHarness) -> None:
    stage.rows.owner("default")
    stage.report(Hello(daemon="d1", owner="default", capacity=4, labels=('a"b', "c"), agents=("shell",)))
    assert stage.await_event(SlotsFree, owner="default").free == 4
    row = stage.await_row("daemon", name="d1", connected=True)
    assert (row["capacity"], row["labels"], row["agents"]) == (4, ['a"b', "c"], ["shell"])
    stage.report(Goodbye(daemon="d1", owner="default"))
    stage.await_row("daemon", name="d1", connected=False)


def test_a_hello_of_an_owner_that_is_not_there_makes_nothing(stage: ServiceHarness) -> None:
    stage.report(Hello(daemon="d9", owner="nobody", capacity=4))
    fence(stage)
    assert stage.rows.all("daemon") == []


def test_a_heartbeat_renews_the_leases_of_what_is_theirs_and_names_what_is_not(stage: ServiceHarness) -> None:
    stage.rows.daemon("d1", last_seen="2020-01-01")
    stage.rows.daemon("d2", last_seen="2020-01-01")
    directive = stage.rows.directive()
    _, theirs = stage.rows.running_step(directive, "theirs")
    _, foreign = stage.rows.running_step(directive, "foreign", daemon="d2")
    lease = stage.rows.one("task", theirs)["lease_until"]
    running = tuple(Running(task=t, attempt=1) for t in (theirs, foreign))
    stage.report(Heartbeat(daemon="d1", running=running))
    stage.await_ack(NotYours, task=foreign)
    assert stage.rows.one("task", theirs)["lease_until"] != lease
    assert stage.rows.one("task", foreign)["lease_until"] == lease
    assert [a for _, a in stage.acks if isinstance(a, NotYours)] == [NotYours(task=foreign, attempt=1)]
    seen = {d["name"]: d["last_seen"].year > 2020 for d in stage.rows.all("daemon")}
    assert (seen["d1"], seen["d2"]) == (True, False), "a word of one daemon is no sign of life of another"


def test_a_task_whose_lease_ran_out_goes_on_elsewhere(stage: ServiceHarness) -> None:
    directive = stage.rows.directive()
    _, task = stage.rows.running_step(directive)
    stage.rows.change("task", task, lease_until="2020-01-01")
    stage.publish(StepAdded())
    changed = stage.await_event(TaskChanged, task=task, status="pending")
    assert (changed.attempt, changed.reason) == (2, "the daemon d1 was lost")
    (attempt,) = stage.rows.all("attempt", task_id=task)
    assert attempt["outcome"] == "lost"


@pytest.mark.parametrize(
    "hint",
    [
        DirectiveChanged(status="active"),
        DirectiveChanged(status="awaiting_approval"),
        StepAdded(),
        TaskChanged(status="pending", kind="step"),
    ],
    ids=topic,
)
def test_any_hint_makes_what_may_run_ready(stage: ServiceHarness, hint: Event) -> None:
    directive = stage.rows.directive()
    first = stage.rows.step(directive, "first")
    stage.rows.step(directive, "second", depends_on=[first])
    stage.rows.step(directive, "later", order_index=1)
    stage.publish(msgspec.structs.replace(hint, directive=directive))
    assert stage.await_event(StepReady, directive=directive).steps == (first,)


def test_a_pending_task_whose_end_was_asked_for_is_cancelled(stage: ServiceHarness) -> None:
    directive = stage.rows.directive()
    step = stage.rows.step(directive, status="ready")
    task = stage.rows.task(directive, step=step, cancel_asked="not wanted")
    stage.publish(TaskChanged(directive=directive, task=task, status="pending", asked=True))
    stage.await_event(TaskChanged, task=task, status="cancelled")
    stage.await_row("step", id=step, status="failed")


def test_frames_that_cannot_be_read_are_skipped(stage: ServiceHarness) -> None:
    stage.publish_raw(*unreadable_events("task.changed"))
    good = REPORTS.encode([])
    stage.report_raw(*unreadable_batches(b"reports", good, b"d1"))
    stage.report_raw([b"reports", header("test"), b"\xff\xfe", REPORTS.encode([Heartbeat(daemon="x")])])
    fence(stage)
    stage.await_log("message skipped")
    assert stage.alive


def test_of_a_batch_with_messages_of_unknown_types_the_known_are_taken(stage: ServiceHarness) -> None:
    _, step, task = started(stage)
    known = TaskSucceeded(seq=1, task=task, attempt=1, branch="b")
    body = msgspec.msgpack.encode([{"type": "FromTheFuture", "seq": 7}, known, {"type": "TaskFailed", "seq": "x"}])
    stage.report_raw([b"reports", header("d"), b"d1", body])
    stage.await_event(StepChanged, step=step, status="completed")


def test_a_batch_of_many_tasks_is_acknowledged_whole(stage: ServiceHarness) -> None:
    tasks = [started(stage)[2] for _ in range(50)]
    stage.report(*(TaskSucceeded(seq=n, task=t, attempt=1, branch="b") for n, t in enumerate(tasks, 1)))
    stage.until(lambda: set(stage.acknowledged()) >= set(range(1, 51)), "fifty acknowledgements")
    assert {stage.rows.one("task", t)["status"] for t in tasks} == {"completed"}
    assert any(isinstance(a, Ack) for _, a in stage.acks)


def test_a_hello_that_could_not_be_written_is_asked_for_again(stage: ServiceHarness) -> None:
    """As while Postgres takes no writes."""
    stage.rows.daemon("d1")
    with takes_no_daemons(stage):
        stage.report(Hello(daemon="d1", owner="default", capacity=4))
        stage.await_log("reports not written; daemons resend them")

    def asked() -> bool:
        stage.report(Heartbeat(daemon="d1"))
        return any(isinstance(reply, Identify) for _, reply in stage.acks)

    stage.until(asked, "question who it is")


@contextmanager
def takes_no_daemons(stage: ServiceHarness) -> Iterator[None]:
    """From its first statement on: a setting of Postgres would reach the monitor's connections some time later."""
    execute = stage.connection.execute
    execute(
        """CREATE FUNCTION makima.takes_no_writes() RETURNS trigger LANGUAGE plpgsql AS
           $$BEGIN RAISE read_only_sql_transaction USING MESSAGE = 'no writes'; END$$"""
    )
    execute(
        """CREATE TRIGGER takes_no_writes BEFORE INSERT OR UPDATE ON makima.daemon
           EXECUTE FUNCTION makima.takes_no_writes()"""
    )
    stage.connection.commit()
    try:
        yield
    finally:
        execute("DROP TRIGGER takes_no_writes ON makima.daemon")
        execute("DROP FUNCTION makima.takes_no_writes")
        stage.connection.commit()
