"""Who may do what: every route with every kind of token, and what a task may change of its directive's plan."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

import httpx
import pytest

from services.gateway.application import ROUTES
from services.gateway.routes.page import PLACES
from shared.domain.ids import new_id
from shared.messages.events import OrderChanged, StepAdded, StepChanged, StepReady, StepRemoved, TaskOutput
from shared.service.tokens import load_secret, task_token
from tests.contract.gateway.test_gateway import free_port
from tests.contract.service_harness import ServiceHarness

SERVICE = "gateway"
MAX_FOUND_STEPS = 3
SETTINGS = {"port": str(free_port()), "max_found_steps": str(MAX_FOUND_STEPS), "plan_agents": "codex"}
TASKS = ("plan", "step", "completion", "verification")

ANYONE = ("nobody", "person", *TASKS)
PERSON = ("person",)
ALL = ("person", *TASKS)
"""A task only within its own directive, as another test shows."""
DELIVERY = ("person", "completion", "verification")
ITS_TASK = TASKS

STEP = {"name": "A", "taskPlan": "true"}
RIGHTS: dict[tuple[str, str], tuple[tuple[str, ...], object]] = {
    ("GET", "/healthz"): (ANYONE, None),
    ("GET", "/readyz"): (ANYONE, None),
    ("GET", "/metrics"): (ANYONE, None),
    ("GET", "/v1/overview"): (PERSON, None),
    ("POST", "/v1/directives"): (PERSON, {"title": "t", "goal": "g"}),
    ("GET", "/v1/directives"): (PERSON, None),
    ("GET", "/v1/directives/{directive}"): (ALL, None),
    ("POST", "/v1/directives/{directive}/start"): (PERSON, {}),
    ("POST", "/v1/directives/{directive}/resume"): (PERSON, {}),
    ("POST", "/v1/directives/{directive}/pause"): (PERSON, {}),
    ("POST", "/v1/directives/{directive}/archive"): (PERSON, {}),
    ("POST", "/v1/directives/{directive}/delivery"): (DELIVERY, {"pr_url": "https://github.com/acme/shop/pull/1"}),
    ("POST", "/v1/directives/{directive}/look"): (PERSON, {}),
    ("POST", "/v1/directives/{directive}/goal"): (PERSON, {"goal": "g"}),
    ("POST", "/v1/directives/{directive}/replan"): (PERSON, {}),
    ("POST", "/v1/directives/{directive}/approve"): (PERSON, {}),
    ("POST", "/v1/directives/{directive}/reject"): (PERSON, {"reason": "r"}),
    ("PATCH", "/v1/directives/{directive}"): (PERSON, {"max_parallel": 2}),
    ("POST", "/v1/directives/{directive}/steps"): (ALL, {"steps": [STEP]}),
    ("DELETE", "/v1/directives/{directive}/steps/{step}"): (("person", "plan"), None),
    ("PATCH", "/v1/directives/{directive}/steps/{step}"): (PERSON, {"name": "n"}),
    ("POST", "/v1/directives/{directive}/steps/{step}/retry"): (PERSON, {}),
    ("POST", "/v1/directives/{directive}/steps/{step}/skip"): (PERSON, {}),
    ("GET", "/v1/directives/{directive}/steps/{step}/diff"): (PERSON, None),
    ("GET", "/v1/directives/{directive}/diff"): (PERSON, None),
    ("GET", "/v1/steps/{step}"): (ALL, None),
    ("POST", "/v1/orders"): (PERSON, {"title": "t"}),
    ("GET", "/v1/orders"): (PERSON, None),
    ("POST", "/v1/orders/{order}/link"): (PERSON, {"directive": str(new_id())}),
    ("POST", "/v1/orders/{order}/cancel"): (PERSON, {}),
    ("POST", "/v1/directives/{directive}/pick-up"): (PERSON, {}),
    ("POST", "/v1/questions"): (TASKS, {"text": "Really?"}),
    ("GET", "/v1/questions"): (PERSON, None),
    ("GET", "/v1/questions/{question}"): (ALL, None),
    ("POST", "/v1/questions/{question}/answer"): (PERSON, {"answer": "a"}),
    ("GET", "/v1/why/{anything}"): (ALL, None),
    ("GET", "/v1/names"): (ANYONE[1:], None),
    ("GET", "/v1/inbox"): (PERSON, None),
    ("GET", "/v1/tasks"): (PERSON, None),
    ("GET", "/v1/tasks/{task}"): (PERSON, None),
    ("GET", "/v1/tasks/{task}/log"): (PERSON, None),
    ("POST", "/v1/tasks/{task}/cancel"): (PERSON, {}),
    ("POST", "/v1/tasks/{task}/tell"): (PERSON, {"text": "t"}),
    ("POST", "/v1/tasks/{task}/fail"): (ITS_TASK, {"reason": "r"}),
    ("GET", "/v1/daemons"): (PERSON, None),
    ("POST", "/v1/daemons/{name}/drain"): (PERSON, {"on": True}),
    ("POST", "/v1/daemons/invitations"): (PERSON, {}),
    ("GET", "/v1/daemons/keys"): (PERSON, None),
    ("POST", "/v1/daemons/keys/{fingerprint}/accept"): (PERSON, {}),
    ("POST", "/v1/daemons/keys/{fingerprint}/revoke"): (PERSON, {}),
    ("POST", "/v1/owners"): (PERSON, {"name": "rights"}),
    ("GET", "/v1/owners"): (PERSON, None),
    ("GET", "/v1/owner"): (PERSON, None),
    ("PATCH", "/v1/owner"): (PERSON, {"max_daemons": None}),
    ("GET", "/v1/me"): (PERSON, None),
    ("GET", "/v1/members"): (PERSON, None),
    ("GET", "/v1/members/{person}"): (PERSON, None),
    ("PUT", "/v1/members/{person}"): (PERSON, {"role": "viewer"}),
    ("DELETE", "/v1/members/{person}"): (PERSON, None),
    ("POST", "/v1/tokens"): (PERSON, {"name": "laptop", "person": "ada"}),
    ("GET", "/v1/tokens"): (PERSON, None),
    ("DELETE", "/v1/tokens/{token}"): (PERSON, None),
    ("GET", "/v1/directives/{directive}/events"): (ALL, None),
    ("GET", "/v1/events"): (PERSON, None),
    ("POST", "/v1/session/links"): (PERSON, {}),
    ("POST", "/v1/session"): ((), {"code": "x"}),
    ("DELETE", "/v1/session"): ((), None),
    ("GET", "/signin"): (ANYONE, None),
    ("GET", "/signin/callback"): (ANYONE, None),
    ("POST", "/signin/confirm"): (ANYONE, None),
    ("GET", "/signin/provider"): (ANYONE, None),
    ("POST", "/signin/token"): (ANYONE, {"code": "x", "verifier": "x"}),
    ("GET", "/directives/{number}"): (ANYONE, None),
    ("GET", "/directives/{number}/steps/{step}"): (ANYONE, None),
    ("GET", "/assets/{name}"): (ANYONE, None),
    ("GET", "/icon.svg"): (ANYONE, None),
    **dict.fromkeys((("GET", place) for place in PLACES), (ANYONE, None)),
}
"""By method and path: whose token the gateway takes there, and a body that it can read. Browsers need none."""


def routes() -> set[tuple[str, str]]:
    """Every route of the gateway, its parameters by name alone."""
    found = {(str(method), path) for h in ROUTES for path in h.paths for method in h.http_methods}
    return {
        (method, "/".join(part.partition(":")[0] + "}" if ":" in part else part for part in path.split("/")))
        for method, path in found
        if method != "OPTIONS"
    }


class World:
    """A directive in which tasks run that plan, do a step and deliver, and clients with every kind of token."""

    def __init__(self, stage: ServiceHarness, delivery: str = "verification", **directive: object) -> None:
        self.stage = stage
        self.directive = stage.rows.directive(repository_url="https://github.com/acme/shop", **directive)
        self.step, step_task = stage.rows.running_step(self.directive, "Running")
        self.tasks = {"step": step_task}
        for kind in ("plan", delivery):
            self.tasks[kind] = stage.rows.task(self.directive, kind, status="running", daemon="d1")

    def client(self, who: str) -> httpx.Client:
        """A client with the cluster's token, of a task of this kind, or with none."""
        home = self.stage.settings.home
        token = "nothing" if who == "nobody" else (home / "token").read_text().strip()
        if who in self.tasks:
            token = task_token(load_secret(home), self.tasks[who], 1)
        address = f"http://127.0.0.1:{self.stage.settings.port}"
        return httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=30, verify=False)

    def add(self, who: str, *names: str) -> httpx.Response:
        """Steps added with such a token."""
        steps = [{"name": name, "taskPlan": "true"} for name in names]
        return self.client(who).post(f"/v1/directives/{self.directive}/steps", json={"steps": steps})

    def remove(self, who: str, step: UUID) -> httpx.Response:
        """A step removed with such a token."""
        return self.client(who).delete(f"/v1/directives/{self.directive}/steps/{step}")

    def steps(self, *names: str) -> list[dict[str, object]]:
        """The rows of steps of these names."""
        return [s for s in self.stage.rows.all("step", directive_id=self.directive) if s["name"] in names]


def ids(answer: httpx.Response) -> Iterable[UUID]:
    assert answer.status_code == 201, answer.text
    return [UUID(step["id"]) for step in answer.json()["steps"]]


def test_every_route_is_classified() -> None:
    assert routes() == RIGHTS.keys()


@pytest.mark.parametrize(("method", "path"), sorted(RIGHTS))
def test_each_route_takes_the_tokens_that_the_table_says_and_no_others(
    stage: ServiceHarness, method: str, path: str
) -> None:
    allowed, body = RIGHTS[method, path]
    for who in ANYONE:
        world = World(stage, "completion" if who == "completion" else "verification")
        filled = path.format(
            directive=world.directive,
            step=stage.rows.step(world.directive, "Pending"),
            order=new_id(),
            question=stage.rows.question(world.tasks["step"]),
            anything=world.directive,
            task=world.tasks.get(who, world.tasks["step"]),
            name="d1",
            fingerprint="0123-4567-89ab-cdef",
            number=1,
            person="ada",
            token=new_id(),
        )
        with world.client(who).stream(method, filled, json=body) as answer:
            taken = answer.status_code not in (401, 403)
        assert taken == (who in allowed), f"{who}: {answer.status_code}"


@pytest.mark.parametrize("who", TASKS)
def test_a_task_touches_no_directive_but_its_own(stage: ServiceHarness, who: str) -> None:
    world = World(stage, "completion" if who == "completion" else "verification")
    other = stage.rows.directive("Another")
    step = stage.rows.step(other)
    for method, path, body in (
        ("GET", f"/v1/directives/{other}", None),
        ("GET", f"/v1/directives/{other}/events", None),
        ("GET", f"/v1/events?directive={other}", None),
        ("GET", f"/v1/steps/{step}", None),
        ("GET", f"/v1/why/{other}", None),
        ("GET", f"/v1/orders?directive={other}", None),
        ("POST", f"/v1/directives/{other}/steps", {"steps": [STEP]}),
        ("DELETE", f"/v1/directives/{other}/steps/{step}", None),
        ("POST", f"/v1/directives/{other}/delivery", {"status": "completed"}),
    ):
        assert world.client(who).request(method, path, json=body).status_code == 403, (method, path)


@pytest.mark.parametrize("who", ["step", "completion", "verification"])
def test_work_that_a_task_found_is_held_for_approval_where_plans_are(stage: ServiceHarness, who: str) -> None:
    world = World(stage, "completion" if who == "completion" else "verification", approve_plan=True)
    (found,) = ids(world.add(who, "Found"))
    row = stage.rows.one("step", found)
    assert (row["status"], row["held_by"], row["added_by"]) == ("pending", world.tasks[who], world.tasks[who])
    stage.await_event(StepAdded, directive=world.directive, steps=(found,))
    person = world.client("person")
    (item,) = [i for i in person.get("/v1/inbox").json() if i["directive_id"] == str(world.directive)]
    assert item["kind"] == "approval" and "directive approve " in item["command"]
    assert "waits for approval" in person.get(f"/v1/why/{found}").json()["why"]
    assert person.post(f"/v1/directives/{world.directive}/approve").status_code == 200
    stage.await_event(StepReady, directive=world.directive, steps=(found,))
    assert stage.rows.one("step", found)["held_by"] is None
    assert stage.rows.one("directive", world.directive)["generation"] == 0, "no planning: the plan is the same one"


def test_work_that_was_found_and_is_rejected_is_gone_and_nothing_is_planned_for_it(stage: ServiceHarness) -> None:
    world = World(stage, approve_plan=True)
    (found,) = ids(world.add("step", "Found"))
    answer = world.client("person").post(f"/v1/directives/{world.directive}/reject", json={"reason": "no"})
    assert answer.status_code == 200 and not world.steps("Found")
    stage.await_event(StepRemoved, directive=world.directive, step=found)
    assert stage.rows.all("plan_request", directive_id=world.directive) == []
    assert stage.rows.one("directive", world.directive)["status"] == "active"


def test_without_approval_work_that_a_step_found_runs_at_once(stage: ServiceHarness) -> None:
    world = World(stage)
    (found,) = ids(world.add("step", "Found"))
    stage.await_event(StepReady, directive=world.directive, steps=(found,))


def test_tasks_add_no_more_steps_than_the_setting_allows_until_there_is_a_new_plan(stage: ServiceHarness) -> None:
    world = World(stage)
    ids(world.add("step", "One", "Two"))
    refused = world.add("step", "Three", "Four")
    assert refused.status_code == 409
    assert f"tasks may add {MAX_FOUND_STEPS} steps after a plan" in refused.json()["detail"]
    assert "max_found_steps" in refused.json()["detail"] and "\n" not in refused.json()["detail"]
    ids(world.add("verification", "Three"))
    assert world.add("step", "Four").status_code == 409
    assert world.add("person", "Four", "Five", "Six").status_code == 201
    stage.rows.change("directive", world.directive, generation=1)
    ids(world.add("step", "Seven"))


def test_a_task_does_not_say_which_generation_its_steps_are_of(stage: ServiceHarness) -> None:
    world = World(stage)
    body = {"steps": [{**STEP, "generation": 7}]}
    world.client("step").post(f"/v1/directives/{world.directive}/steps", json=body).raise_for_status()
    assert [s["generation"] for s in world.steps("A")] == [0]


@pytest.mark.parametrize(
    ("choice", "refused"),
    [
        ({"agent": "codex", "labels": ["gpu"]}, ""),
        ({"agent": "claude"}, ""),
        ({"agent": "expensive"}, "tasks choose agents among claude, codex (plan_agents), not 'expensive'"),
        ({"model": "huge"}, "only a person chooses a model"),
    ],
)
@pytest.mark.parametrize("who", ["plan", "step"])
def test_a_task_chooses_no_agent_but_its_directives_and_those_of_the_settings(
    stage: ServiceHarness, who: str, choice: dict[str, object], refused: str
) -> None:
    world = World(stage, agent="claude")
    path, body = f"/v1/directives/{world.directive}/steps", {"steps": [{**STEP, **choice}]}
    answer = world.client(who).post(path, json=body)
    assert answer.status_code == (422 if refused else 201), answer.text
    assert refused in answer.text
    assert len(world.steps("A")) == (0 if refused else 1)
    assert world.client("person").post(path, json=body).status_code == 201, "a person may choose whom they want"


def test_a_planning_says_which_step_serves_an_order_of_its_directive_already(stage: ServiceHarness) -> None:
    world = World(stage)
    own, other = stage.rows.order(world.directive), stage.rows.order(stage.rows.directive("Another"))
    body = {"directive": str(world.directive), "step": str(world.step)}
    linked = world.client("plan").post(f"/v1/orders/{own}/link", json=body)
    assert (linked.status_code, linked.json()["status"]) == (200, "open"), "it counts with its plan"
    assert linked.json()["steps"] == [str(world.step)]
    assert world.client("plan").post(f"/v1/orders/{other}/link", json=body).status_code == 409
    assert world.client("step").post(f"/v1/orders/{own}/link", json=body).status_code == 403
    again = world.client("person").post(f"/v1/orders/{own}/link", json=body)
    assert (again.status_code, again.json()["status"]) == (200, "in_progress"), "a person's word counts at once"
    same = world.client("person").post(f"/v1/orders/{own}/link", json=body)
    assert (same.status_code, same.json()["status"]) == (200, "in_progress"), "the same word twice"


def test_a_persons_order_is_linked_to_a_step_in_one_call_and_done_where_that_is(stage: ServiceHarness) -> None:
    world = World(stage)
    done = stage.rows.step(world.directive, "Done", status="completed")
    gone = stage.rows.step(world.directive, "Gone", removed_by=world.tasks["plan"])
    person = world.client("person")
    order = person.post("/v1/orders", json={"title": "Crash"}).json()["id"]
    refused = person.post(f"/v1/orders/{order}/link", json={"directive": str(world.directive), "step": str(gone)})
    assert refused.status_code == 409 and "about to go" in refused.json()["detail"]
    body = {"directive": str(world.directive), "step": str(done)}
    assert person.post(f"/v1/orders/{order}/link", json=body).json()["status"] == "done"
    stage.await_event(OrderChanged, order=UUID(order), status="done")


def test_a_task_removes_only_what_it_added_itself(stage: ServiceHarness) -> None:
    world = World(stage)
    review = stage.rows.step(world.directive, "Security review")
    (own,) = ids(world.add("step", "Found"))
    (other,) = ids(world.add("verification", "Found elsewhere"))
    for step in (review, other):
        refused = world.remove("step", step)
        assert refused.status_code == 403 and "only steps that it added itself" in refused.json()["detail"]
    assert world.remove("step", own).status_code == 200
    assert {s["name"] for s in world.steps("Security review", "Found", "Found elsewhere")} == {
        "Security review",
        "Found elsewhere",
    }


def test_a_removal_of_what_was_approved_waits_for_approval(stage: ServiceHarness) -> None:
    world = World(stage, approve_plan=True)
    (found,) = ids(world.add("step", "Found"))
    world.client("person").post(f"/v1/directives/{world.directive}/approve").raise_for_status()
    assert world.remove("step", found).status_code == 200
    assert stage.rows.one("step", found)["removed_by"] == world.tasks["step"]
    stage.await_event(StepChanged, directive=world.directive, step=found, reason="to be removed once that is approved")
    world.client("person").post(f"/v1/directives/{world.directive}/approve").raise_for_status()
    stage.await_event(StepRemoved, directive=world.directive, step=found)
    assert not world.steps("Found")


def test_what_is_held_can_be_taken_back_and_a_person_can_remove_it(stage: ServiceHarness) -> None:
    world = World(stage, approve_plan=True)
    one, two = ids(world.add("step", "One", "Two"))
    assert world.remove("step", one).status_code == world.remove("person", two).status_code == 200
    assert not world.steps("One", "Two")


@pytest.mark.parametrize("status", ["completed", "archived"])
def test_a_task_reopens_nothing_that_has_ended(stage: ServiceHarness, status: str) -> None:
    world = World(stage)
    stage.rows.lead("directive", world.directive, "paused", status)
    refused = world.add("step", "Found")
    assert refused.status_code == 409 and f"the directive is {status}" in refused.json()["detail"]
    assert stage.rows.one("directive", world.directive)["status"] == status


def test_a_stream_carries_output_to_a_person_and_none_to_a_task(stage: ServiceHarness) -> None:
    world = World(stage)
    said = TaskOutput(directive=world.directive, task=world.tasks["step"], attempt=1, lines=("secret",))
    with (
        listening(world.client("person"), world.directive) as told,
        listening(world.client("step"), world.directive) as heard,
    ):

        def passes() -> bool:
            stage.publish(said)
            return any("task.output" in line for line in told)

        stage.until(lambda: told and heard and stage.hears(said), "both streams")
        stage.until(passes, "the output at the person's")
        (step,) = ids(world.add("person", "Last"))

        def told_of_the_step() -> bool:
            stage.publish(StepAdded(directive=world.directive, steps=(step,)))  # nobody but the test hands events on
            return any(str(step) in line for line in heard)

        stage.until(told_of_the_step, "what the log holds at the task's")
        assert not any("task.output" in line or "secret" in line for line in heard)


@contextmanager
def listening(client: httpx.Client, directive: UUID) -> Iterator[list[str]]:
    """The lines of a directive's stream as they come."""
    lines: list[str] = []
    with client.stream("GET", f"/v1/events?directive={directive}") as answer:
        assert answer.status_code == 200
        threading.Thread(target=lambda: read(answer, lines), daemon=True).start()
        yield lines


def read(answer: httpx.Response, lines: list[str]) -> None:
    """Read until the stream is closed under the reader."""
    with suppress(httpx.HTTPError, httpx.StreamError, OSError):
        lines.extend(answer.iter_lines())
