"""Steps that say who works on them and where: taken under either spelling, kept, shown, changed, and warned of."""

from __future__ import annotations

from uuid import UUID

import httpx
import pytest

from shared.messages.events import DirectiveChanged, StepChanged
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


def test_the_same_steps_a_second_time_are_a_warning(http: httpx.Client) -> None:
    directive = create(http, steps=[{"name": "a", "task_plan": "x"}, {"name": "b"}])
    path = f"/v1/directives/{directive}/steps"
    twice = http.post(path, json={"steps": [{"name": "a", "task_plan": "x"}]}).json()
    warning = (
        "'a' is there with the same task plan already, and runs twice: makima directive remove-step takes one back"
    )
    assert twice["warnings"] == [warning]
    assert http.post(path, json={"steps": [{"name": "a", "task_plan": "y"}]}).json()["warnings"] == []


@pytest.mark.parametrize(
    ("cause", "status", "warned"),
    [
        ("delivery", "active", False),
        ("stuck", "active", False),
        ("person", "paused", True),
        ("failure", "paused", True),
    ],
)
def test_new_steps_are_the_mend_of_what_could_not_be_delivered(
    stage: ServiceHarness, http: httpx.Client, cause: str, status: str, warned: bool
) -> None:
    directive = stage.rows.directive()
    stage.rows.change("directive", directive, status="paused", paused_for=cause, pause_reason="it was closed")
    answer = http.post(f"/v1/directives/{directive}/steps", json={"steps": [{"name": "More"}]}).json()
    assert stage.rows.one("directive", directive)["status"] == status
    paused = f"the directive is paused: `makima directive resume {directive}` lets it go on"
    assert answer["warnings"] == ([paused] if warned else [])


def test_nothing_of_an_archived_directive_changes(stage: ServiceHarness, http: httpx.Client) -> None:
    directive = stage.rows.directive()
    step = stage.rows.step(directive, "Old", status="failed")
    stage.rows.change("directive", directive, status="archived")
    path = f"/v1/directives/{directive}/steps"
    answers = [
        http.post(path, json={"steps": [{"name": "More"}]}),
        http.delete(f"{path}/{step}"),
        http.patch(f"{path}/{step}", json={"name": "New"}),
        http.post(f"{path}/{step}/retry"),
        http.post(f"{path}/{step}/skip"),
    ]
    assert [(a.status_code, a.json()["detail"]) for a in answers] == [
        (409, "the directive is archived: nothing of it changes any more")
    ] * len(answers)


def test_a_pull_request_is_looked_at_when_a_person_asks(stage: ServiceHarness, http: httpx.Client) -> None:
    waiting = stage.rows.directive()
    stage.rows.change("directive", waiting, status="idle", pr_state="open", pr_look_at="2100-01-01")
    assert http.post(f"/v1/directives/{waiting}/look").status_code == 200
    stage.await_event(DirectiveChanged, directive=waiting, status="idle")
    assert stage.rows.one("directive", waiting)["pr_look_at"].year < 2100
    refused = http.post(f"/v1/directives/{create(http)}/look")
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "it waits for no open pull request: there is nothing to look at",
    )


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


def test_why_a_step_waits_is_told_by_the_slots_that_the_executor_goes_by(
    stage: ServiceHarness, http: httpx.Client
) -> None:
    step = stage.rows.step(stage.rows.directive(), "Wait", status="ready")
    owner = stage.rows.owner()

    def why() -> str:
        return str(http.get(f"/v1/why/{step}").json()["why"])

    assert why() == "no daemon is connected"
    stage.rows.daemon(capacity=1)
    stage.rows.daemon("drained", capacity=5, draining=True)
    assert why() == "it is ready: it is dispatched in a moment"
    stage.rows.running_step(stage.rows.directive())
    assert why() == "1 of 1 slots are taken"
    stage.rows.daemon(capacity=2)
    assert why() == "it is ready: it is dispatched in a moment"
    stage.rows.change("owner", owner, max_running=1)
    assert why() == "1 of 1 tasks run that this owner may run at once"
