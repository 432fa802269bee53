"""The planner: each reason to plan becomes one plan task, once, and nothing else is written."""

from __future__ import annotations

import pytest
from psycopg.types.json import Jsonb

from shared.messages.events import (
    DirectiveChanged,
    DirectiveCreated,
    Event,
    PlanFinished,
    PlanRequested,
    TaskChanged,
    TaskCreated,
)
from tests.contract.frames import unreadable_events
from tests.contract.service_harness import ServiceHarness

SERVICE = "planner"


def fence(stage: ServiceHarness) -> None:
    """All that the planner was told before has been done when this returns."""
    later = stage.rows.directive(title="Later")
    stage.rows.plan_request(later)
    stage.publish(PlanRequested(directive=later))
    stage.await_event(TaskCreated, directive=later)


HINTS = {
    DirectiveChanged: {"status": "active"},
    DirectiveCreated: {},
    PlanFinished: {},
    PlanRequested: {},
    TaskChanged: {"kind": "plan", "status": "failed"},
}


@pytest.mark.parametrize("hint", HINTS, ids=lambda e: e.__name__)
def test_any_hint_makes_unserved_requests_one_plan_task(stage: ServiceHarness, hint: type[Event]) -> None:
    directive = stage.rows.directive(title="A job", goal="Make it better")
    requests = {stage.rows.plan_request(directive, reason) for reason in ("goal", "user")}
    stage.publish(hint(directive=directive, **HINTS[hint]))
    created = stage.await_event(TaskCreated, directive=directive)
    (task,) = stage.rows.all("task", directive_id=directive)
    assert (task["id"], task["kind"], task["status"], created.kind) == (created.task, "plan", "pending", "plan")
    assert "Make it better" in task["prompt"]
    assert {r["id"] for r in stage.rows.all("plan_request", served_by=task["id"])} == requests


def test_a_new_plan_is_told_what_completed_steps_changed(stage: ServiceHarness) -> None:
    directive = stage.rows.directive()
    task = stage.rows.task(
        directive, status="completed", commits=Jsonb([{"sha": f"{n}", "subject": f"c{n}"} for n in range(9)])
    )
    more = {"status": "completed", "completed_at": "2026-01-01", "files_changed": [f"f{n}" for n in range(50)]}
    stage.rows.step(directive, "Before", task_id=task, **more)
    stage.rows.plan_request(directive)
    stage.publish(PlanRequested(directive=directive))
    prompt = stage.rows.one("task", stage.await_event(TaskCreated, directive=directive).task)["prompt"]
    assert "  files changed: f0, f1, f2" in prompt and "f39 and 10 more" in prompt
    assert "  commits: c4; c5; c6; c7; c8" in prompt


def test_a_hint_doubled_or_late_plans_once(stage: ServiceHarness) -> None:
    directive = stage.rows.directive()
    stage.rows.plan_request(directive)
    stage.publish(*[PlanRequested(directive=directive)] * 3)
    stage.await_event(TaskCreated, directive=directive)
    stage.publish(PlanRequested(directive=directive))
    fence(stage)
    assert len(stage.rows.all("task", directive_id=directive)) == 1


def test_a_request_while_a_plan_task_is_live_waits_for_its_end(stage: ServiceHarness) -> None:
    directive = stage.rows.directive()
    live = stage.rows.task(directive, "plan", status="running")
    request = stage.rows.plan_request(directive)
    stage.publish(PlanRequested(directive=directive))
    fence(stage)
    assert [t["id"] for t in stage.rows.all("task", directive_id=directive)] == [live]
    stage.rows.change("task", live, status="completed")
    stage.publish(TaskChanged(directive=directive, task=live, kind="plan", status="completed"))
    stage.await_event(TaskCreated, directive=directive)
    assert stage.rows.one("plan_request", request)["served_by"] not in (None, live)


@pytest.mark.parametrize("status", ["draft", "paused", "awaiting_approval", "archived"])
def test_a_directive_that_is_not_active_is_not_planned(stage: ServiceHarness, status: str) -> None:
    directive = stage.rows.directive(status=status)
    stage.rows.plan_request(directive)
    stage.publish(PlanRequested(directive=directive))
    fence(stage)
    assert stage.rows.all("task", directive_id=directive) == []


def test_hints_about_what_is_not_there_change_nothing(stage: ServiceHarness) -> None:
    directive = stage.rows.directive()
    stage.publish(
        PlanRequested(directive=directive),
        TaskChanged(kind="plan", status="failed"),
        PlanFinished(directive=stage.rows.owner()),
    )
    fence(stage)
    assert stage.rows.all("task", directive_id=directive) == []


def test_frames_that_cannot_be_read_are_skipped(stage: ServiceHarness) -> None:
    stage.publish_raw(*unreadable_events("plan.requested"))
    fence(stage)
    assert stage.alive
    assert [e for e in stage.events if isinstance(e, TaskCreated)][1:] == []


def test_requests_from_before_its_start_are_served_without_any_hint(stage: ServiceHarness) -> None:
    stage.kill()
    directives = {stage.rows.directive() for _ in range(3)}
    for directive in directives:
        stage.rows.plan_request(directive)
    stage.start()
    stage.until(lambda: {t["directive_id"] for t in stage.rows.all("task")} == directives, "a task a directive")


def test_of_two_planners_the_other_takes_over_when_the_leader_dies(stage: ServiceHarness) -> None:
    stage.start()
    stage.kill_leader()
    directives = [stage.rows.directive() for _ in range(20)]
    for directive in directives:
        stage.rows.plan_request(directive)
    stage.publish(*(PlanRequested(directive=d) for d in directives))
    stage.until(lambda: len(stage.rows.all("task")) == len(directives), "a task a directive")
    fence(stage)
    assert len(stage.rows.all("task")) == len(directives) + 1
