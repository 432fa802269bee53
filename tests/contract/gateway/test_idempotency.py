"""Whatever changes something is done once a key: every POST of the description, asked twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from services.gateway.application import ROUTES
from shared.bus.link import fingerprint, key_pair
from shared.domain.ids import new_id
from tests.contract.gateway.test_gateway import free_port
from tests.contract.gateway.test_rights import World
from tests.contract.service_harness import ServiceHarness

SERVICE = "gateway"
SETTINGS = {"port": str(free_port()), "link": "127.0.0.1:8421"}
STEPS = {"steps": [{"name": "A", "taskPlan": "true"}]}
EFFECTS = (
    "directive",
    "step",
    "work_order",
    "task_message",
    "question",
    "plan_request",
    "event",
    "daemon_key",
    "owner",
    "member",
    "person_token",
)
"""Tables that grow with what is done."""


KEYLESS = {
    ("post", "/v1/session/links"),
    ("post", "/v1/session"),
    ("delete", "/v1/session"),
    ("post", "/signin/token"),
}
"""What signs somebody in or out, anew each time."""
NOT_DESCRIBED = {"/signin/confirm"}


class Case:
    """One POST that works: who asks it of what, and with which body."""

    def __init__(self, who: str, body: object, prepare: Callable[[World], dict[str, UUID | str]]) -> None:
        self.who, self.body, self.prepare = who, body, prepare


def directive(**columns: object) -> Callable[[World], dict[str, UUID | str]]:
    """The world's directive, changed to have these values."""

    def prepare(world: World) -> dict[str, UUID | str]:
        if columns:
            world.stage.rows.put("directive", world.directive, **columns)
        return {"directive": world.directive}

    return prepare


def a_task(world: World) -> dict[str, UUID | str]:
    return {"task": world.tasks["step"]}


def a_failed_step(world: World) -> dict[str, UUID | str]:
    step = world.stage.rows.step(world.directive, "Failed", status="failed")
    return {"directive": world.directive, "step": step}


def an_order(world: World) -> dict[str, UUID | str]:
    return {"order": world.stage.rows.order(world.directive)}


def a_picked_up_order(world: World) -> dict[str, UUID | str]:
    an_order(world)
    return {"directive": world.directive}


def found_work(world: World) -> dict[str, UUID | str]:
    world.stage.rows.change("directive", world.directive, approve_plan=True)
    world.add("step", "Found").raise_for_status()
    return {"directive": world.directive}


def a_daemon(world: World) -> dict[str, UUID | str]:
    world.stage.rows.daemon("d1")
    return {"name": "d1"}


def a_member(world: World) -> dict[str, UUID | str]:
    world.stage.rows.member("ada")
    return {}


def a_key(status: str) -> Callable[[World], dict[str, UUID | str]]:
    """The key of a daemon on another machine, which stands so."""

    def prepare(world: World) -> dict[str, UUID | str]:
        key = key_pair().public
        world.stage.rows.daemon_key(key, name=f"far-{uuid4().hex[:8]}", status=status)
        return {"fingerprint": fingerprint(key)}

    return prepare


PULL_REQUEST = {"pr_url": "https://github.com/acme/shop/pull/1"}
CASES: dict[str, Case] = {
    "/v1/directives": Case("person", {"title": "t", "goal": "g"}, directive()),
    "/v1/directives/{directive}/start": Case("person", None, directive(status="draft")),
    "/v1/directives/{directive}/resume": Case("person", None, directive(status="paused")),
    "/v1/directives/{directive}/pause": Case("person", None, directive()),
    "/v1/directives/{directive}/archive": Case("person", None, directive()),
    "/v1/directives/{directive}/delivery": Case("person", PULL_REQUEST, directive()),
    "/v1/directives/{directive}/look": Case("person", None, directive(status="idle", pr_state="open")),
    "/v1/directives/{directive}/goal": Case("person", {"goal": "Another"}, directive()),
    "/v1/directives/{directive}/replan": Case("person", {"reason": "r"}, directive()),
    "/v1/directives/{directive}/approve": Case("person", None, found_work),
    "/v1/directives/{directive}/reject": Case("person", {"reason": "r"}, found_work),
    "/v1/directives/{directive}/steps": Case("person", STEPS, directive()),
    "/v1/directives/{directive}/steps/{step}/retry": Case("person", None, a_failed_step),
    "/v1/directives/{directive}/steps/{step}/skip": Case("person", None, a_failed_step),
    "/v1/directives/{directive}/pick-up": Case("person", None, a_picked_up_order),
    "/v1/orders": Case("person", {"title": "t"}, directive()),
    "/v1/orders/{order}/link": Case("person", {"directive": "{directive}"}, an_order),
    "/v1/orders/{order}/cancel": Case("person", None, an_order),
    "/v1/questions": Case("step", {"text": "Really?"}, directive()),
    "/v1/questions/{question}/answer": Case(
        "person", {"answer": "a"}, lambda w: {"question": w.stage.rows.question(w.tasks["step"])}
    ),
    "/v1/tasks/{task}/cancel": Case("person", None, a_task),
    "/v1/tasks/{task}/tell": Case("person", {"text": "t"}, a_task),
    "/v1/tasks/{task}/fail": Case("step", {"reason": "r"}, a_task),
    "/v1/daemons/{name}/drain": Case("person", {"on": True}, a_daemon),
    "/v1/daemons/invitations": Case("person", {"name": "far"}, lambda _: {}),
    "/v1/owners": Case("person", {"name": f"team-{uuid4().hex[:8]}", "admin": "ada"}, lambda _: {}),
    "/v1/tokens": Case("person", {"name": "ci", "person": "ada"}, a_member),
    "/v1/daemons/keys/{fingerprint}/accept": Case("person", {}, a_key("asking")),
    "/v1/daemons/keys/{fingerprint}/revoke": Case("person", None, a_key("accepted")),
}


@pytest.fixture
def described(stage: ServiceHarness) -> dict[str, Any]:
    """The gateway's own description of its paths."""
    told = httpx.get(f"http://127.0.0.1:{stage.settings.port}/schema/openapi.json", timeout=30).json()
    paths: dict[str, Any] = told["paths"]
    return paths


def test_every_post_of_the_description_has_a_case_here(described: dict[str, Any]) -> None:
    posts = {("post", path) for path, item in described.items() if "post" in item}
    assert {path for _, path in posts - KEYLESS} == CASES.keys()


def test_whatever_changes_something_says_in_the_description_that_it_takes_a_key(described: dict[str, Any]) -> None:
    changing = {(m, p) for p, item in described.items() for m in item if m in ("post", "put", "patch", "delete")}
    methods = (h.http_methods & {"POST", "PUT", "PATCH", "DELETE"} for h in ROUTES if not h.paths & NOT_DESCRIBED)
    assert len(changing) == sum(map(len, methods)) and changing >= KEYLESS
    for method, path in changing - KEYLESS:
        headers = {p["name"]: p for p in described[path][method]["parameters"] if p["in"] == "header"}
        assert "done once" in headers["Idempotency-Key"]["description"], (method, path)


@pytest.mark.parametrize("path", CASES)
def test_what_is_posted_twice_with_one_key_is_done_once_and_answered_alike(stage: ServiceHarness, path: str) -> None:
    case, world = CASES[path], World(stage)
    filled = path.format(**case.prepare(world))
    body = (
        {k: str(world.directive) if v == "{directive}" else v for k, v in case.body.items()}
        if isinstance(case.body, dict)
        else case.body
    )
    key = {"Idempotency-Key": str(uuid4())}
    with world.client(case.who) as client:
        first = client.post(filled, json=body, headers=key)
        assert first.status_code in (200, 201, 202), first.text
        before = sizes(stage)
        again = client.post(filled, json=body, headers=key)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    for header in ("etag", "location"):
        assert again.headers.get(header) == first.headers.get(header)
    assert sizes(stage) == before


def sizes(stage: ServiceHarness) -> dict[str, int]:
    """How many rows each table has."""
    return {table: len(stage.rows.all(table)) for table in EFFECTS}


def test_a_key_is_one_requests(stage: ServiceHarness) -> None:
    world, key = World(stage), {"Idempotency-Key": "mine"}
    with world.client("person") as client:
        path = f"/v1/tasks/{world.tasks['step']}/tell"
        client.post(path, json={"text": "one"}, headers=key).raise_for_status()
        assert client.post(path, json={"text": "two"}, headers=key).status_code == 422
        pause = f"/v1/directives/{world.directive}/pause"
        assert client.post(pause, headers=key).status_code == 422
        client.post(pause, headers={"Idempotency-Key": "p"}).raise_for_status()
        assert client.post(f"{pause}?now=true", headers={"Idempotency-Key": "p"}).status_code == 422


def test_a_removal_and_a_change_are_done_once_too(stage: ServiceHarness) -> None:
    world = World(stage)
    step = stage.rows.step(world.directive, "Unwanted")
    with world.client("person") as client:
        key = {"Idempotency-Key": str(new_id())}
        path = f"/v1/directives/{world.directive}/steps/{step}"
        first, again = (client.delete(path, headers=key) for _ in range(2))
        assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())
        key = {"Idempotency-Key": str(new_id())}
        path = f"/v1/directives/{world.directive}"
        first, again = (client.patch(path, json={"max_parallel": 9}, headers=key) for _ in range(2))
        assert first.json()["version"] == again.json()["version"]


def test_what_was_answered_the_day_before_is_forgotten(stage: ServiceHarness) -> None:
    world = World(stage)
    statement = """
        INSERT INTO makima.idempotency_key (owner_id, key, request, at)
        SELECT id, said, said, makima.now() - ago::interval
          FROM makima.owner, (VALUES ('old', '25 hours'), ('new', '23 hours')) AS kept (said, ago)
         WHERE name = 'default'"""
    stage.connection.execute(statement)
    with world.client("person") as client:
        path = f"/v1/tasks/{world.tasks['step']}/tell"
        client.post(path, json={"text": "one"}, headers={"Idempotency-Key": "now"}).raise_for_status()
    assert sorted(row["key"] for row in stage.rows.all("idempotency_key")) == ["new", "now"]
