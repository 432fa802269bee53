"""What the monitor writes beside the lives of tasks: messages that arrived, agents that took over, what is cleared."""

from __future__ import annotations

import socket
from typing import Any
from uuid import UUID

import msgspec
import pytest

from shared.domain.ids import new_id
from shared.domain.statuses import DeliveredAs
from shared.messages.events import StepAdded, TaskChanged
from shared.messages.reports import (
    Goodbye,
    Heartbeat,
    Hello,
    Identify,
    MessageDelivered,
    NotYours,
    OutputBatch,
    Running,
    TaskAccepted,
    TaskStarted,
    TaskSucceeded,
    TaskUsage,
)
from shared.metrics import Told
from shared.service.scraping import folder_of
from tests.contract.service_harness import ServiceHarness

SERVICE = "monitor"
SETTINGS = {"retention_seconds": "0.2", "keep_output_days": "1", "keep_events_days": "1"}
OLD = "2020-01-01"


def message(stage: ServiceHarness, task: UUID) -> UUID:
    """What a person told a running task."""
    made = new_id()
    statement = "INSERT INTO makima.task_message (id, task_id, text) VALUES (%s, %s, 'Mind the gap')"
    stage.connection.execute(statement, (made, task))
    return made


def output(stage: ServiceHarness, task: UUID) -> None:
    """A batch that was printed long ago."""
    statement = """
        INSERT INTO makima.task_output (task_id, attempt, first_seq, last_seq, events, at)
        VALUES (%s, 1, 0, 0, '[]', %s)"""
    stage.connection.execute(statement, (task, OLD))


def event(stage: ServiceHarness, directive: UUID) -> None:
    """A word of the audit log that was said long ago."""
    statement = "INSERT INTO makima.event (type, directive_id, body, at) VALUES ('directive.changed', %s, '{}', %s)"
    stage.connection.execute(statement, (directive, OLD))


def test_a_message_that_reached_its_agent_is_marked_once(stage: ServiceHarness) -> None:
    _, task = stage.rows.running_step(stage.rows.directive())
    told = message(stage, task)
    stage.report(MessageDelivered(seq=1, task=task, attempt=1, message=told, how=DeliveredAs.WHILE_IT_RAN))
    stage.await_acknowledged(1)
    row = stage.rows.one("task_message", told)
    assert (row["delivered_as"], row["delivered_at"] is None) == ("while_it_ran", False)
    stage.report(MessageDelivered(seq=2, task=task, attempt=1, message=told, how=DeliveredAs.NEXT_TURN))
    stage.await_acknowledged(2)
    assert stage.rows.one("task_message", told) == row


def test_a_message_counts_as_delivered_when_the_daemon_says_so_that_has_its_task(stage: ServiceHarness) -> None:
    directive = stage.rows.directive()
    _, task = stage.rows.running_step(directive)
    _, other = stage.rows.running_step(directive, daemon="d2")
    told = message(stage, task)
    said = MessageDelivered(seq=1, task=task, attempt=1, message=told, how=DeliveredAs.WHILE_IT_RAN)
    stage.report(said, daemon="d2")
    stage.report(said, daemon="web/d1")
    stage.report(msgspec.structs.replace(said, task=other), daemon="d2")
    stage.await_acknowledged(1, daemon="d2")
    stage.await_acknowledged(1, daemon="web/d1")
    assert stage.rows.one("task_message", told)["delivered_at"] is None


def test_a_daemon_of_another_owner_gets_hold_of_no_task_by_its_name(stage: ServiceHarness) -> None:
    """Its name is that of the daemon that has the task: of which only the owner tells it apart."""
    stage.rows.owner("web")
    directive = stage.rows.directive()
    step, task = stage.rows.running_step(directive)
    waiting = stage.rows.task(directive, step=stage.rows.step(directive, status="ready"), status="starting")
    lease = stage.rows.one("task", task)["lease_until"]
    claims = tuple(Running(task=one, attempt=1) for one in (task, waiting))
    stage.report(Heartbeat(daemon="d1", running=claims), daemon="web/d1")
    stage.report(
        TaskAccepted(seq=1, task=waiting, attempt=1),
        TaskSucceeded(seq=2, task=task, attempt=1, branch="forged"),
        OutputBatch(seq=3, task=task, attempt=1, directive=directive, first=0, lines=("forged",)),
        daemon="web/d1",
    )
    stage.await_acknowledged(2, daemon="web/d1")
    told = [r.task for d, r in stage.acks if d == "web/d1" and isinstance(r, NotYours)]
    assert set(told) == {task, waiting}
    assert (stage.rows.one("task", task)["status"], stage.rows.one("task", task)["lease_until"]) == ("running", lease)
    assert stage.rows.one("task", waiting)["daemon"] is None
    assert stage.rows.one("step", step)["branch"] is None
    assert not stage.rows.all("task_output", task_id=task)


def test_two_owners_daemons_of_one_name_come_and_go_each_for_itself(stage: ServiceHarness) -> None:
    mine, theirs = stage.rows.owner(), stage.rows.owner("web")
    stage.report(Hello(daemon="d1", owner="default", capacity=3), daemon="d1")
    stage.report(Hello(daemon="d1", owner="web", capacity=5), daemon="web/d1")
    stage.await_row("daemon", owner_id=theirs, name="d1", capacity=5, connected=True)
    stage.report(Goodbye(daemon="d1", owner="default"), daemon="d1")
    stage.await_row("daemon", owner_id=mine, name="d1", connected=False)
    stage.report(Heartbeat(daemon="d1"), daemon="d1")
    stage.until(lambda: [d for d, r in stage.acks if d == "d1" and isinstance(r, Identify)], "it is asked who it is")
    stage.report(Heartbeat(daemon="d1"), daemon="web/d1")
    stage.await_row("daemon", owner_id=theirs, name="d1", connected=True)
    assert not [d for d, r in stage.acks if d == "web/d1" and isinstance(r, Identify)]


def test_the_agent_that_runs_in_the_place_of_the_one_asked_for_is_kept(stage: ServiceHarness) -> None:
    directive = stage.rows.directive()
    step = stage.rows.step(directive, status="ready")
    task = stage.rows.task(directive, step=step, status="starting", agent="claude", lease_until="2100-01-01")
    stage.report(TaskAccepted(seq=1, task=task, attempt=1), TaskStarted(seq=2, task=task, attempt=1, agent="codex"))
    stage.await_acknowledged(2)
    assert stage.rows.one("task", task)["agent"] == "codex"
    (attempt,) = stage.rows.all("attempt", task_id=task)
    assert attempt["agent"] == "codex"


@pytest.mark.parametrize(
    "said",
    [{"draining": True, "drain_asked": True}, {"draining": True, "refuses": "its disk is full"}, {}],
    ids=["asked", "full", "free"],
)
def test_why_a_daemon_takes_no_more_is_kept(stage: ServiceHarness, said: dict[str, Any]) -> None:
    stage.rows.daemon("d7", draining=True, drains=True, refuses="of old")
    stage.report(Hello(daemon="d7", owner="default", capacity=3, **said), daemon="d7")
    row = stage.await_row("daemon", name="d7", capacity=3)
    kept = {name: row[name] for name in ("draining", "drains", "refuses")}
    assert kept == {
        "draining": said.get("draining", False),
        "drains": said.get("drain_asked", False),
        "refuses": said.get("refuses"),
    }


def test_old_output_and_events_of_what_has_ended_go_and_the_rest_stays(stage: ServiceHarness) -> None:
    over, live = stage.rows.directive(title="Over", status="completed"), stage.rows.directive(title="Live")
    ended = stage.rows.task(over, status="completed")
    _, running = stage.rows.running_step(live)
    for directive, task in ((over, ended), (live, running)):
        output(stage, task)
        event(stage, directive)
    stage.until(lambda: not stage.rows.all("task_output", task_id=ended), "clearing of old output")
    stage.until(
        lambda: not stage.rows.all("event", directive_id=over, type="directive.changed"), "clearing of old events"
    )
    assert len(stage.rows.all("task_output", task_id=running)) == 1
    assert len(stage.rows.all("event", directive_id=live, type="directive.changed")) == 1


def counted(stage: ServiceHarness) -> dict[str, float]:
    """What the monitors that run have counted, all labels together."""
    sums: dict[str, float] = {}
    for path in folder_of(stage.settings).glob("monitor*.sock"):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(path))
            told = msgspec.json.decode(b"".join(iter(lambda: asking.recv(1 << 16), b"")), type=Told)
        for one in told.counters:
            sums[one.name] = sums.get(one.name, 0) + one.value
    return sums


def test_what_a_lost_attempt_cost_is_counted_by_its_last_report(stage: ServiceHarness) -> None:
    _, task = stage.rows.running_step(stage.rows.directive())
    before = counted(stage)
    stage.report(TaskUsage(seq=1, task=task, attempt=1, cost_usd=0.5, tokens=70))
    stage.await_acknowledged(1)
    assert counted(stage).get("makima_cost_usd", 0) == before.get("makima_cost_usd", 0), "it counts when it ends"
    stage.rows.change("task", task, lease_until="2020-01-01")
    stage.publish(StepAdded())
    stage.await_event(TaskChanged, task=task, status="pending")
    stage.until(
        lambda: counted(stage).get("makima_attempts_ended", 0) > before.get("makima_attempts_ended", 0), "count"
    )
    after = counted(stage)
    for name, spent in (("makima_cost_usd", 0.5), ("makima_tokens", 70)):
        assert after[name] - before.get(name, 0) == spent
    (row,) = stage.rows.all("task", id=task)
    assert (float(row["cost_usd"]), row["tokens"]) == (0.5, 70), "the truth counts it once, too"


def test_what_a_day_costs_an_owner_is_counted_once_however_often_it_is_said(stage: ServiceHarness) -> None:
    owner = stage.rows.owner()
    stage.connection.execute("DELETE FROM makima.owner_spending")
    _, first = stage.rows.running_step(stage.rows.directive())
    _, second = stage.rows.running_step(stage.rows.directive())
    stage.report(
        TaskUsage(seq=1, task=first, attempt=1, cost_usd=0.5),
        TaskUsage(seq=2, task=second, attempt=1, cost_usd=0.25),
    )
    stage.await_acknowledged(2)
    stage.report(
        TaskUsage(seq=3, task=first, attempt=1, cost_usd=0.75),
        TaskSucceeded(seq=4, task=second, attempt=1, cost_usd=0.25),
        TaskUsage(seq=5, task=first, attempt=1, cost_usd=0.6),
    )
    stage.await_acknowledged(5)
    (row,) = stage.rows.all("owner_spending", owner_id=owner)
    costs = [stage.rows.one("task", task)["cost_usd"] for task in (first, second)]
    assert float(row["cost_usd"]) == float(sum(costs)) == 1.0


def test_a_daemon_that_goes_and_comes_again_is_the_newest(stage: ServiceHarness) -> None:
    stage.rows.daemon("d8", connected_at="2020-01-01")
    hello = Hello(daemon="d8", owner="default", capacity=3)
    stage.report(hello, daemon="d8")
    assert stage.await_row("daemon", name="d8", capacity=3)["connected_at"].year == 2020
    stage.report(Goodbye(daemon="d8", owner="default"), msgspec.structs.replace(hello, capacity=5), daemon="d8")
    stage.report(Goodbye(daemon="d8", owner="default"), daemon="d8")
    stage.await_row("daemon", name="d8", connected=False)
    stage.report(msgspec.structs.replace(hello, capacity=6), daemon="d8")
    assert stage.await_row("daemon", name="d8", capacity=6)["connected_at"].year > 2020
