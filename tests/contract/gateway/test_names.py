"""What people call things: numbers, titles, the beginnings of ids."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.contract.gateway.test_gateway import create, free_port, http
from tests.contract.gateway.test_rights import World
from tests.contract.service_harness import ServiceHarness

__all__ = ["http"]
SERVICE = "gateway"
SETTINGS = {"port": str(free_port())}
STEPS = [{"name": "Build"}, {"name": "Test/all", "dependsOn": ["Build"]}]


def find(http: httpx.Client, kind: str, name: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        http.get("/v1/names", params={"kind": kind, "name": str(name)}).raise_for_status().json()
    )
    return found


def test_a_directive_is_found_by_number_title_and_the_beginning_of_its_id(http: httpx.Client) -> None:
    first, second = create(http, title="Start fast"), create(http, title="Add a page")
    number = http.get(f"/v1/directives/{second}").json()["number"]
    for name in (number, "Add a page", second, str(second)[:30], str(second).upper()[:32]):
        assert [one["id"] for one in find(http, "directive", name)] == [str(second)], name
    assert {one["id"] for one in find(http, "directive", str(second)[:6])} == {str(first), str(second)}
    for name in ("Add", "999999999", "0000", "%", "Add a page'"):
        assert find(http, "directive", name) == []


def test_of_two_with_one_title_both_are_found(http: httpx.Client) -> None:
    made = [str(create(http, title="The same")) for _ in range(2)]
    assert [one["id"] for one in find(http, "directive", "The same")] == made[::-1]


def test_a_step_is_found_within_its_directive(stage: ServiceHarness, http: httpx.Client) -> None:
    directive = create(http, title="A/B", steps=STEPS)
    number = http.get(f"/v1/directives/{directive}").json()["number"]
    (step,) = (s["id"] for s in stage.rows.all("step", directive_id=directive, name="Test/all"))
    for name in (f"{number}/2", f"{number}/Test/all", step, f"{directive}/2"):
        assert [(o["id"], o["label"]) for o in find(http, "step", name)] == [(str(step), f"{number}/2")], name
    assert [one["id"] for one in find(http, "anything", f"{number}/2")] == [str(step)]
    assert str(step) in {one["id"] for one in find(http, "step", str(step)[:32])}


def test_a_task_is_found_as_its_step(stage: ServiceHarness, http: httpx.Client) -> None:
    world = World(stage)
    number = http.get(f"/v1/directives/{world.directive}").json()["number"]
    task = world.tasks["step"]
    for name in (f"{number}/1", f"{number}/Running", str(task)[:32]):
        assert [one["id"] for one in find(http, "task", name)] == [str(task)]
    question, order = stage.rows.question(task), stage.rows.order(world.directive, "Mend it")
    assert [one["id"] for one in find(http, "question", str(question)[:32])] == [str(question)]
    for name in ("Mend it", str(order)[:32]):
        assert [one["id"] for one in find(http, "order", name)] == [str(order)]


def test_a_task_is_found_by_whatever_it_is_called(stage: ServiceHarness, http: httpx.Client) -> None:
    directive = create(http, steps=[{"name": "Build"}, {"name": "Test"}])
    build, other = (s["id"] for s in stage.rows.all("step", directive_id=directive))
    kinds = {"plan": 3, "completion": 2, "verification": 2, "step": 2}
    made = [stage.rows.task(directive, kind, status="failed") for kind, many in kinds.items() for _ in range(many)]
    made += [stage.rows.task(directive, "step", step=step, status="failed") for step in (build, build, build, other)]
    listed = {one["id"]: one["called"] for one in http.get("/v1/tasks", params={"directive": str(directive)}).json()}
    assert listed.keys() == set(map(str, made)) and len(set(listed.values())) == len(made)
    for task, called in listed.items():
        assert [(one["id"], one["label"]) for one in find(http, "task", called)] == [(task, called)]


@pytest.mark.parametrize("kind", ["directive", "step", "task"])
def test_a_task_finds_nothing_of_another_directive(stage: ServiceHarness, kind: str) -> None:
    world = World(stage)
    other = stage.rows.directive("Secret")
    ids: dict[str, UUID] = {"directive": other, "step": stage.rows.step(other), "task": stage.rows.task(other, "plan")}
    with world.client("step") as client:
        assert find(client, kind, ids[kind]) == []
        assert find(client, "directive", world.directive) != []
