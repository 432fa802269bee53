"""Steps that say who works on them and where: taken under either spelling, kept, shown, changed, and warned of."""

from __future__ import annotations

from uuid import UUID

import httpx
import pytest

from shared.messages.events import StepChanged
from tests.contract.gateway.test_gateway import create, free_port
from tests.contract.gateway.test_gateway import http as http
from tests.contract.service_harness import ServiceHarness

SERVICE = "gateway"
SETTINGS = {"port": str(free_port())}
SNAKE = {"name": "b", "task_plan": "x", "depends_on": ["a"], "order_index": 1}
CAMEL = {"name": "b", "taskPlan": "x", "dependsOn": ["a"], "orderIndex": 1}


@pytest.mark.parametrize("spelled", [SNAKE, CAMEL])
def test_a_step_is_taken_as_it_is_shown_and_as_it_was_written_before(
    http: httpx.Client, spelled: dict[str, object]
) -> None:
    chosen = {"agent": "codex", "model": "small", "labels": ["gpu", "linux"]}
    directive = create(http, steps=[{"name": "a"}, {**spelled, **chosen}])
    first, second = http.get(f"/v1/directives/{directive}").json()["steps"]
    assert (second["task_plan"], second["depends_on"], second["order_index"]) == ("x", [first["id"]], 1)
    assert {key: second[key] for key in chosen} == chosen
    assert (first["agent"], first["model"], first["labels"]) == (None, None, [])


def test_a_key_in_both_spellings_is_refused(http: httpx.Client) -> None:
    body = {"title": "t", "steps": [{"name": "a", "taskPlan": "x", "task_plan": "y"}]}
    refused = http.post("/v1/directives", json=body)
    assert refused.status_code == 400
    assert refused.json()["detail"] == "the body gives task_plan twice, once as taskPlan; leave one out"


def test_what_no_daemon_offers_is_a_warning_with_the_nearest(stage: ServiceHarness, http: httpx.Client) -> None:
    stage.rows.daemon(agents=["shell", "claude"], labels=["gpu"])
    steps = [{"name": "a", "agent": "cluade"}, {"name": "b", "labels": ["gpuu"]}]
    made = http.post("/v1/directives", json={"title": "t", "steps": steps, "agent": "shel"}).json()
    assert [w.partition(":")[0] for w in made["warnings"]] == [
        "no daemon has the agent 'shel'; 'shell' is the nearest",
        "no daemon has the agent 'cluade'; 'claude' is the nearest",
        "no daemon has the label 'gpuu'; 'gpu' is the nearest",
    ]


def test_makimas_own_agent_is_nobodys_choice(http: httpx.Client) -> None:
    assert http.post("/v1/directives", json={"title": "t", "goal": "g", "agent": "native"}).status_code == 422
    assert http.patch(f"/v1/directives/{create(http)}", json={"agent": "native"}).status_code == 422


def test_a_step_asks_for_something_else_before_it_runs(stage: ServiceHarness, http: httpx.Client) -> None:
    directive = stage.rows.directive()
    step = stage.rows.step(directive, "Train", agent="codex", labels=["gpu"], task_plan="old")
    path = f"/v1/directives/{directive}/steps/{step}"
    assert http.patch(path, json={"labels": [], "agent": None, "taskPlan": "new"}).status_code == 200
    row = stage.rows.one("step", step)
    assert (row["agent"], row["labels"], row["task_plan"], row["name"]) == (None, [], "new", "Train")
    stage.await_event(StepChanged, step=step, reason="a person changed it")
    assert http.patch(path, json={"name": " "}).status_code == 422


def test_what_waits_for_a_daemon_may_ask_for_another_but_keeps_its_texts(
    stage: ServiceHarness, http: httpx.Client
) -> None:
    directive = stage.rows.directive()
    step = stage.rows.step(directive, "Train", status="ready", labels=["gpu"])
    waits = stage.rows.task(directive, step=step)
    path = f"/v1/directives/{directive}/steps/{step}"
    assert http.patch(path, json={"labels": ["cpu"]}).status_code == 200
    assert http.patch(path, json={"task_plan": "other"}).status_code == 409
    stage.rows.change("task", waits, status="starting")
    refused = http.patch(path, json={"labels": ["gpu"]})
    assert refused.status_code == 409 and "is under way" in refused.json()["detail"]
    assert stage.rows.one("step", step)["labels"] == ["cpu"]


def test_why_a_step_waits_says_what_to_add_or_to_change(stage: ServiceHarness, http: httpx.Client) -> None:
    directive = stage.rows.directive()
    step = stage.rows.step(directive, "Train", status="ready", labels=["gpu"])
    waiting = {"refused_attempt": 1, "refusal": "labels", "waiting_reason": "no connected daemon has the label gpu"}
    stage.rows.task(directive, step=step, refused_since="2026-01-01", **waiting)
    told = http.get(f"/v1/why/{step}").json()
    assert told["why"].startswith("it can't be sent: no connected daemon has the label gpu")
    number = stage.rows.one("directive", directive)["number"]
    assert told["fix"] == (
        "add it to the setting labels of a daemon (MAKIMA_LABELS), or "
        f"makima directive edit-step {number}/{stage.rows.one('step', step)['number']} --label NAME"
    )
    assert UUID(told["id"]) == step
