"""The gateway: what a person asks for is one transaction, its events are published, and nothing else is written."""

from __future__ import annotations

import socket
from uuid import UUID

import httpx
import pytest

from shared.messages.events import (
    DirectiveChanged,
    DirectiveCreated,
    PlanRequested,
    StepAdded,
    StepReady,
    StepRemoved,
    TaskChanged,
)
from tests.contract.service_harness import ServiceHarness

SERVICE = "gateway"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


SETTINGS = {"port": str(free_port())}
PLAN = [{"name": "a", "taskPlan": "make"}, {"name": "b", "taskPlan": "test", "dependsOn": ["a"]}]


@pytest.fixture
def http(stage: ServiceHarness) -> httpx.Client:
    """A person's client."""
    token = (stage.settings.home / "token").read_text().strip()
    address = f"http://127.0.0.1:{stage.settings.port}"
    return httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=30, verify=False)


def create(http: httpx.Client, **more: object) -> UUID:
    made = http.post("/v1/directives", json={"title": "A job", "goal": "Make it", **more})
    assert made.status_code == 201, made.text
    return UUID(made.json()["id"])


def test_a_directive_that_starts_without_a_plan_asks_for_one(stage: ServiceHarness, http: httpx.Client) -> None:
    directive = create(http, start=True)
    stage.await_event(DirectiveCreated, directive=directive)
    stage.await_event(DirectiveChanged, directive=directive, status="active")
    stage.await_event(PlanRequested, directive=directive, reason="goal")
    (request,) = stage.rows.all("plan_request", directive_id=directive)
    assert request["served_by"] is None


def test_a_directive_with_a_plan_has_its_first_steps_ready(stage: ServiceHarness, http: httpx.Client) -> None:
    directive = create(http, start=True, steps=PLAN)
    steps = {s["name"]: s for s in stage.rows.all("step", directive_id=directive)}
    assert {name: s["status"] for name, s in steps.items()} == {"a": "ready", "b": "pending"}
    assert len(stage.await_event(StepAdded, directive=directive).steps) == 2
    assert stage.await_event(StepReady, directive=directive).steps == (steps["a"]["id"],)
    assert stage.rows.all("plan_request") == []


def test_a_plan_that_is_refused_leaves_nothing(stage: ServiceHarness, http: httpx.Client) -> None:
    refused = http.post("/v1/directives", json={"title": "x", "steps": [{"name": "a", "dependsOn": ["a"]}]})
    assert refused.status_code == 422
    assert "cycle" in refused.json()["detail"]
    assert stage.rows.all("directive") == stage.rows.all("step") == stage.rows.all("event") == []


def test_a_removed_step_lets_the_next_order_run(stage: ServiceHarness, http: httpx.Client) -> None:
    directive = stage.rows.directive()
    first = stage.rows.step(directive, "first", status="ready")
    later = stage.rows.step(directive, "later", order_index=1)
    assert http.delete(f"/v1/directives/{directive}/steps/{first}").status_code == 200
    stage.await_event(StepRemoved, directive=directive, step=first)
    assert stage.await_event(StepReady, directive=directive).steps == (later,)


def test_a_cancel_is_kept_in_the_row_until_it_is_done(stage: ServiceHarness, http: httpx.Client) -> None:
    _, task = stage.rows.running_step(stage.rows.directive())
    assert http.post(f"/v1/tasks/{task}/cancel").status_code == 202
    stage.await_event(TaskChanged, task=task, status="running")
    row = stage.rows.one("task", task)
    assert row["cancel_asked"] is not None
    assert row["status"] == "running"


@pytest.mark.parametrize(("status", "verb"), [("archived", "start"), ("draft", "pause")])
def test_what_the_tables_do_not_allow_is_a_conflict(
    stage: ServiceHarness, http: httpx.Client, status: str, verb: str
) -> None:
    directive = stage.rows.directive(status=status)
    assert http.post(f"/v1/directives/{directive}/{verb}").status_code == 409
    assert stage.rows.one("directive", directive)["status"] == status
    assert stage.rows.all("event") == []


def test_without_a_token_nothing_is_told(stage: ServiceHarness) -> None:
    answer = httpx.get(f"http://127.0.0.1:{stage.settings.port}/v1/directives", timeout=30)
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_who_works_where_from_and_what_is_checked_can_be_changed_afterwards(
    stage: ServiceHarness, http: httpx.Client
) -> None:
    directive = create(http, agent="shell", base_branch="main", check="make test")
    where = f"/v1/directives/{directive}"
    changed = http.patch(where, json={"agent": "claude", "base_branch": "dev", "merge_into_base": True})
    assert changed.status_code == 200, changed.text
    row = stage.rows.one("directive", directive)
    assert (row["agent"], row["base_branch"], row["merge_into_base"]) == ("claude", "dev", True)
    assert row["check_command"] == "make test", "what isn't given stays"
    http.patch(where, json={"agent": None, "check": None}).raise_for_status()
    row = stage.rows.one("directive", directive)
    assert (row["agent"], row["check_command"], row["base_branch"]) == (None, None, "dev")
    assert http.patch(where, json={"check": " "}).json()["detail"] == "the check is empty"


def test_nobody_is_invited_to_a_cluster_that_only_this_machine_reaches(
    stage: ServiceHarness, http: httpx.Client
) -> None:
    answer = http.post("/v1/daemons/invitations", json={"name": "far"})
    assert answer.status_code == 409 and "set `link`" in answer.json()["detail"]
    assert stage.rows.all("daemon_key") == []


def test_a_planning_that_waits_is_the_new_agents_and_one_that_runs_keeps_its_own(
    stage: ServiceHarness, http: httpx.Client
) -> None:
    waits, runs = create(http), create(http)
    later = {"agent": "claude", "not_before": "2100-01-01"}
    waiting = stage.rows.task(waits, "plan", status="pending", session="claude's", **later)
    running = stage.rows.task(runs, "plan", status="running", daemon="d1", lease_until="2100-01-01", **later)
    for directive in (waits, runs):
        http.patch(f"/v1/directives/{directive}", json={"agent": "codex"}).raise_for_status()
    row = stage.rows.one("task", waiting)
    assert (row["agent"], row["session"]) == ("codex", None) and row["not_before"].year < 2100
    assert stage.rows.one("task", running)["agent"] == "claude"
    http.patch(f"/v1/directives/{waits}", json={"agent": None}).raise_for_status()
    assert stage.rows.one("task", waiting)["agent"] == "shell"
    http.patch(f"/v1/directives/{waits}", json={"max_parallel": 2}).raise_for_status()
    asked = [e["body"] for e in stage.rows.all("event", directive_id=waits) if e["type"] == "task.changed"]
    assert [e["reason"] for e in asked] == ["its agent is codex now", "its agent is shell now"]
