"""One owner's people and tasks see, hear and change nothing of another's: every route, with everything of the other's.

What is asked of another owner's things is answered word by word as what is asked of things that there are not.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from typing import Any
from uuid import UUID

import httpx
import pytest

from shared.domain.ids import new_id
from shared.domain.roles import Role
from shared.messages.events import DaemonConnected, OrderChanged, TaskOutput
from shared.service.tokens import load_secret, task_token
from tests.conftest import free_port
from tests.contract.gateway.planted import (
    MARK,
    WITHOUT_TEXTS,
    Planted,
    ids_in,
    ids_of,
    mark_all,
    rows_with,
    tables,
)
from tests.contract.gateway.test_people import client
from tests.contract.gateway.test_rights import RIGHTS, STEP, routes
from tests.contract.service_harness import ServiceHarness

SERVICE = "gateway"
SETTINGS = {"port": str(free_port()), "link": "127.0.0.1:8421"}
Route = tuple[str, str]

THEIRS, OURS = f"{MARK}-team", "blue"
ROLES = tuple(map(str, Role))
TASKS = ("step", "plan", "verification")
CALLERS = (*ROLES, "cluster", "step", "plan")

NEEDS: dict[Route, str] = {
    **{route: "viewer" if route[0] == "GET" else "operator" for route in RIGHTS},
    **{route: "anybody" for route in RIGHTS if not route[1].startswith("/v1/")},
    **dict.fromkeys([("POST", "/v1/session"), ("DELETE", "/v1/session")], "page"),
    ("POST", "/v1/session/links"): "viewer",
    **dict.fromkeys([("POST", "/v1/questions"), ("POST", "/v1/tasks/{task}/fail")], "task"),
    ("POST", "/v1/daemons/{name}/drain"): "admin",
    ("POST", "/v1/daemons/invitations"): "admin",
    ("GET", "/v1/daemons/keys"): "admin",
    ("POST", "/v1/daemons/keys/{fingerprint}/accept"): "admin",
    ("POST", "/v1/daemons/keys/{fingerprint}/revoke"): "admin",
    ("PUT", "/v1/members/{person}"): "admin",
    ("DELETE", "/v1/members/{person}"): "admin",
    ("POST", "/v1/tokens"): "viewer",
    ("DELETE", "/v1/tokens/{token}"): "viewer",
    ("POST", "/v1/owners"): "cluster",
    ("GET", "/v1/owners"): "cluster",
    ("PATCH", "/v1/owner"): "cluster",
}
"""The least role that a route takes; `cluster`: the cluster's own token alone, `task`: tasks alone,
`page`: a browser alone."""
OF_THE_CLUSTER = {("GET", "/v1/owners"), ("POST", "/v1/owners")}
"""What the cluster's administrator asks about all owners."""
OF_ONES_OWN = {("PUT", "/v1/members/{person}")}
"""Whoever is called like somebody of another owner may be a member here, too: nothing is said of there."""
BODIES: dict[Route, list[Any]] = {
    ("POST", "/v1/directives"): [
        {"title": "t", "goal": "g"},
        {"title": "t", "steps": [{**STEP, "orders": ["{order}"]}]},
        {"title": "t", "steps": [{**STEP, "dependsOn": ["{step}"]}]},
    ],
    ("POST", "/v1/orders"): [{"title": "t", "directive": "{directive}"}],
    ("POST", "/v1/orders/{order}/link"): [
        {"directive": "{directive}"},
        {"directive": "{directive}", "step": "{step}"},
    ],
    ("POST", "/v1/directives/{directive}/steps"): [
        {"steps": [{**STEP, "orders": ["{order}"]}]},
        {"steps": [{**STEP, "dependsOn": ["{step}"]}]},
    ],
    ("POST", "/v1/tokens"): [{"name": "laptop", "person": "{person}"}],
}
"""Bodies that name things; of the other routes any body that can be read."""
QUERIES: dict[Route, list[dict[str, str]]] = {
    ("GET", "/v1/tasks"): [{}, {"directive": "{directive}"}],
    ("GET", "/v1/orders"): [{}, {"directive": "{directive}"}],
    ("GET", "/v1/tokens"): [{}, {"person": "{person}"}],
    ("GET", "/v1/events"): [{}, {"directive": "{directive}"}, {"directive": "{directive}", "task": "{task}"}],
    ("GET", "/v1/questions/{question}"): [{}, {"wait": "0.1"}],
    ("GET", "/v1/tasks/{task}/log"): [{}, {"after_attempt": "0"}],
    ("GET", "/v1/names"): [
        {"kind": kind, "name": name}
        for kind, names in {
            "directive": ("{directive}", "{number}", "{title}"),
            "step": ("{step}", "{number}/1"),
            "task": ("{task}", "{number}/plan"),
            "order": ("{order}", "{number}"),
            "question": ("{question}", "{number}"),
            "anything": ("{anything}", "{number}/1"),
        }.items()
        for name in names
    ],
}
"""What can be asked for beside the path."""
PLAIN = {"limit", "cursor", "after", "status", "wait", "now", "version", "after_attempt", "after_seq", "kind"}
"""Parameters by which no thing is named."""


class Stand:
    """Two owners on one gateway: one that has a row of everything, and one that asks."""

    def __init__(self, stage: ServiceHarness) -> None:
        self.stage, self.connection = stage, stage.connection
        self.theirs = Planted(stage.rows, stage.connection, THEIRS, directives=3)
        stage.rows.change("directive", self.theirs.directive, title="the title")
        mark_all(stage.connection)
        self.secrets = ids_in(stage.connection) - {str(p["id"]) for p in stage.rows.all("person")}
        self.ours = Planted(stage.rows, stage.connection, OURS)
        self.tokens = {
            role: stage.rows.token(stage.rows.member(f"our-{role}", role, OURS), OURS, role, name=role)
            for role in ROLES
        }
        self.secrets -= {str(self.ours.id)}

    def client(self, who: str) -> httpx.Client:
        """A client of one of ours."""
        if who in TASKS:
            return client(self.stage, task_token(load_secret(self.stage.settings.home), self.ours.tasks[who], 1))
        return client(self.stage, self.tokens.get(who), OURS if who == "cluster" else None)

    def named(self, whose: str) -> dict[str, str]:
        """What stands for each thing: ours, theirs, or what there is not."""
        more = {
            "theirs": {"number": "3", "title": f"{MARK}-title-the title"},
            "ours": {"number": "1", "title": "A job"},
        }
        if whose == "nobody's":
            ids = {k: str(new_id()) for k in ("directive", "step", "order", "question", "task", "anything", "token")}
            texts = {"name": "nowhere", "fingerprint": "0123-4567-89ab-cdef", "person": "nobody-there"}
            return {**ids, **texts, "number": "77", "title": "nothing is called so"}
        return {**(self.theirs if whose == "theirs" else self.ours).named(), **more[whose]}

    def about_them(self, but: set[str] = frozenset()) -> dict[str, list[str]]:  # type: ignore[assignment]
        """Every row in which something of theirs stands."""
        return rows_with(self.connection, [MARK, *self.secrets], but)


@pytest.fixture
def stand(stage: ServiceHarness) -> Stand:
    return Stand(stage)


class Asked:
    """A request with holes for the things that it names."""

    def __init__(self, method: str, path: str, query: dict[str, str], body: object) -> None:
        self.method, self.path, self.query, self.body = method, path, query, body
        self.holes = sorted(set(re.findall(r"\{(\w+)\}", json.dumps([path, query, body]))))

    def of(self, client: httpx.Client, named: dict[str, str]) -> tuple[int, str]:
        """The answer's status and its text, in which what was named stands as a hole again. Of a stream only that."""
        path, query, body = (
            json.loads(_filled(json.dumps(part), named)) for part in (self.path, self.query, self.body)
        )
        with client.stream(self.method, path, params=query, json=body) as answer:
            if "event-stream" in answer.headers.get("content-type", ""):
                return answer.status_code, ""
            answer.read()
        text = answer.text
        for hole in self.holes:
            text = text.replace(named[hole], f"<{hole}>").replace(named[hole].replace("-", ""), f"<{hole}>")
        return answer.status_code, text

    def first_is(self, hole: str | None) -> bool:
        """Whether this is the first thing that the path names."""
        return re.findall(r"\{(\w+)\}", self.path)[:1] == [hole]

    def __repr__(self) -> str:
        return f"{self.method} {self.path} {self.query} {self.body}"


def _filled(text: str, named: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda hole: named[hole[1]], text)


def requests(route: Route) -> list[Asked]:
    """Every way to ask for a route."""
    bodies = BODIES.get(route, [RIGHTS[route][1]])
    return [Asked(*route, query, body) for query in QUERIES.get(route, [{}]) for body in bodies]


def test_every_table_is_planted(stand: Stand) -> None:
    marked = {table for table, rows in rows_with(stand.connection, [MARK]).items() if rows}
    assert set(tables(stand.connection)) - marked <= WITHOUT_TEXTS - {"owner"}, "plant it in planted.py"


def test_every_way_to_name_a_thing_is_asked(stand: Stand) -> None:
    told = stand.client("cluster").get("/schema/openapi.json").json()
    for method, path in routes():
        operation = told["paths"].get(path, {}).get(method.lower())
        if operation is None:
            assert NEEDS[method, path] == "anybody", "what isn't described is for browsers"
            continue
        asked = requests((method, path))
        queries = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"} - PLAIN
        assert queries <= {name for one in asked for name in one.query}, (method, path)
        body = json.dumps([one.body for one in asked])
        for content in operation.get("requestBody", {}).get("content", {}).values():
            for name in naming(content["schema"], told["components"]["schemas"]):
                assert f'"{name}"' in body or f'"{_camel(name)}"' in body, (method, path, name)


def naming(schema: dict[str, Any], shapes: dict[str, Any]) -> Iterator[str]:
    """The fields of a body that name things: ids, and members."""
    if reference := schema.get("$ref"):
        yield from naming(shapes[reference.rpartition("/")[2]], shapes)
    for name, field in schema.get("properties", {}).items():
        if "uuid" in json.dumps(field) or name in ("person", "depends_on"):
            yield name
        yield from naming(field, shapes)
    for below in (schema.get("items"), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if isinstance(below, dict):
            yield from naming(below, shapes)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(map(str.capitalize, rest))


@pytest.mark.parametrize("route", sorted(r for r in RIGHTS if r[1].startswith("/v1/")), ids=" ".join)
def test_nothing_of_another_owner_is_shown_or_changed(stand: Stand, route: Route) -> None:
    but = {"event", "member", "idempotency_key"} if route in OF_ONES_OWN else set()
    before = stand.about_them(but)
    named = {whose: stand.named(whose) for whose in ("ours", "theirs", "nobody's")}
    for who, asked in product(CALLERS, requests(route)):
        if route in OF_THE_CLUSTER and who == "cluster":
            continue
        with stand.client(who) as asking:
            for foreign in filter(any, product((False, True), repeat=len(asked.holes))) if asked.holes else [()]:
                chosen = dict(zip(asked.holes, foreign, strict=True))
                theirs = asked.of(asking, {h: named["theirs" if f else "ours"][h] for h, f in chosen.items()})
                nobodys = asked.of(asking, {h: named["nobody's" if f else "ours"][h] for h, f in chosen.items()})
                where = (who, asked, chosen, theirs, nobodys)
                assert MARK not in theirs[1], where
                assert not ids_of(theirs[1]) & stand.secrets, where
                if route not in OF_ONES_OWN and asked.holes:
                    assert theirs == nobodys, where
                if theirs[0] != 403 and who not in TASKS and any(asked.first_is(h) for h, f in chosen.items() if f):
                    assert theirs[0] == 404 or route in OF_ONES_OWN, where
    assert stand.about_them(but) == before


@pytest.mark.parametrize("route", sorted(RIGHTS), ids=" ".join)
def test_each_role_may_what_the_table_says_in_its_own_owner(stand: Stand, route: Route) -> None:
    for who in (*ROLES, "cluster"):
        least = NEEDS[route]
        allowed = {"anybody": True, "task": False, "page": False}.get(least, who == "cluster")
        if least in ROLES and who in ROLES:
            allowed = ROLES.index(who) >= ROLES.index(least)
        named = stand.named("ours") | {"token": str(new_id())}
        asked = requests(route)[0]
        if route == ("POST", "/v1/tokens"):
            asked = Asked(*route, {}, {"name": "laptop", "person": f"our-{who if who in ROLES else 'admin'}"})
        with stand.client(who) as asking:
            status, text = asked.of(asking, named)
        assert (status != 403) == allowed, (who, status, text)
        assert status != 401, (who, text)


def test_collections_show_ones_own(stand: Stand) -> None:
    for path in ("directives", "tasks", "orders", "questions", "daemons", "daemons/keys", "members", "tokens", "inbox"):
        shown = stand.client("admin").get(f"/v1/{path}")
        assert shown.status_code == 200 and len(shown.json()) > 0, path


def test_what_is_open_to_everybody_names_nothing(stand: Stand) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/schema", "/schema/openapi.json"):
        answer = httpx.get(f"http://127.0.0.1:{stand.stage.settings.port}{path}", timeout=30)
        assert MARK not in answer.text and not ids_of(answer.text) & stand.secrets, path


@pytest.mark.parametrize("who", ["viewer", "admin", "cluster"])
def test_a_stream_tells_of_ones_own_alone(stand: Stand, who: str) -> None:
    stage, heard = stand.stage, list[str]()
    out = TaskOutput(directive=stand.theirs.directive, task=stand.theirs.tasks["step"], attempt=1, lines=(MARK,))
    fence = DaemonConnected(daemon="ours", owner=OURS)
    with stand.client(who) as asking, asking.stream("GET", "/v1/events?after=0") as answer:
        threading.Thread(target=_read, args=(answer, heard), daemon=True).start()
        stage.until(lambda: stage.hears(fence), "the stream")
        stage.publish(out, DaemonConnected(daemon=MARK, owner=THEIRS))
        with client(stage, owner=THEIRS) as theirs:
            theirs.post("/v1/orders", json={"title": MARK}).raise_for_status()
            theirs.put("/v1/members/grace", json={}).raise_for_status()
        with client(stage, owner=OURS) as ours:
            ours.put("/v1/members/linus", json={}).raise_for_status()

        def fenced() -> bool:
            stage.publish(fence, OrderChanged())  # the latter has the log looked at
            return any("linus" in line for line in heard) and any('"ours"' in line for line in heard)

        stage.until(fenced, "what came after it")
    assert any(str(stand.ours.directive) in line for line in heard), "what was there before"
    assert not [line for line in heard if MARK in line or ids_of(line) & stand.secrets or "grace" in line]


def test_the_same_key_of_two_owners_is_two_requests(stand: Stand) -> None:
    made = []
    for owner in (OURS, THEIRS):
        with client(stand.stage, owner=owner) as asking:
            body = {"title": "t", "goal": "g"}
            made.append(asking.post("/v1/directives", json=body, headers={"Idempotency-Key": "same"}).json()["id"])
    assert len({UUID(one) for one in made}) == 2


def _read(answer: httpx.Response, heard: list[str]) -> None:
    with suppress(httpx.HTTPError, httpx.StreamError, OSError):
        heard.extend(answer.iter_lines())
