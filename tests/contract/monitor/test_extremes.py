"""The monitor and reports at the edge of what numbers and texts can be: none stops it, none is written by half."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ids import new_id
from shared.messages.channels import REPORTS
from shared.messages.events import SlotsFree
from shared.messages.frames import header
from shared.messages.reports import Ack, Heartbeat, Hello, Running, TaskSucceeded
from tests.contract.extremes import THOROUGH, packed, wild
from tests.contract.monitor.test_reports import fence, started
from tests.contract.service_harness import ServiceHarness

SERVICE = "monitor"


def send(stage: ServiceHarness, *reports: Any) -> None:
    stage.report_raw([b"reports", header("daemon/d1"), b"d1", packed(reports)])


@THOROUGH
@given(data=st.data())
def test_no_report_stops_it(stage: ServiceHarness, data: st.DataObject) -> None:
    directive, step, task = started(stage)
    send(stage, *data.draw(st.lists(wild(REPORTS, [task, step, directive]), min_size=1, max_size=20)))
    fence(stage)
    for attempt in stage.rows.all("attempt", task_id=task):
        assert attempt["number"] == 1 and attempt["cost_usd"] >= 0 and attempt["tokens"] >= 0
    assert stage.alive


@pytest.mark.parametrize(
    "odd",
    [
        {"seq": 2**63},
        {"attempt": 2**31},
        {"tokens": 2**63 - 1},
        {"tokens": -1},
        {"cost_usd": float("nan")},
        {"cost_usd": float("inf")},
        {"cost_usd": -1.0},
    ],
)
def test_a_report_with_such_a_number_is_none_and_those_beside_it_count(
    stage: ServiceHarness, odd: dict[str, Any]
) -> None:
    _, _, task = started(stage)
    report = {"type": "TaskSucceeded", "seq": 1, "task": str(task), "attempt": 1, "branch": "b"}
    send(stage, {**report, **odd}, {"type": "TaskAccepted", "seq": 2, "task": str(task), "attempt": 1})
    stage.await_acknowledged(2)
    assert stage.rows.one("task", task)["status"] == "starting"
    stage.report(TaskSucceeded(seq=3, task=task, attempt=1, branch="b"))
    stage.await_acknowledged(3)
    assert stage.rows.one("task", task)["status"] == "completed"


def test_more_tokens_than_a_column_holds_cost_the_report_and_not_the_monitor(stage: ServiceHarness) -> None:
    _, _, task = started(stage, tokens=2**63 - 10)
    stage.report(TaskSucceeded(seq=1, task=task, attempt=1, branch="b", tokens=10**17))
    stage.await_acknowledged(1)
    fence(stage)
    assert stage.rows.one("task", task)["status"] == "starting"


def test_a_daemon_that_runs_more_than_it_can_has_no_slot_free(stage: ServiceHarness) -> None:
    running = tuple(Running(task=new_id(), attempt=1) for _ in range(3))
    stage.report(Hello(daemon="d1", owner="default", capacity=2, running=running))
    assert stage.await_event(SlotsFree).free == 0


@pytest.mark.parametrize("capacity", [2**31, 2**63 - 1, 2**63, -1, -(2**63)])
def test_a_daemon_with_such_slots_has_none(stage: ServiceHarness, capacity: int) -> None:
    send(stage, {"type": "Hello", "daemon": "d9", "owner": "default", "capacity": capacity})
    fence(stage)
    assert stage.rows.all("daemon", name="d9") == []


def test_a_name_too_long_for_an_index_keeps_no_other_report_from_being_written(stage: ServiceHarness) -> None:
    _, _, task = started(stage)
    name = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(250)) * 20  # incompressible
    send(
        stage,
        {"type": "Hello", "daemon": name, "owner": "default", "capacity": 1},
        {"type": "TaskAccepted", "seq": 1, "task": str(task), "attempt": 1},
    )
    stage.await_ack(Ack)
    stage.report(Heartbeat(daemon="d1"))
    fence(stage)
