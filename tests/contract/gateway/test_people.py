"""People's tokens: whose request it is, in which owner, and what that may."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from services.gateway.application import ROUTES
from shared.domain.ids import new_id
from shared.domain.roles import Role
from shared.messages.events import QuestionAnswered, SlotsFree
from tests.conftest import free_port
from tests.contract.service_harness import ServiceHarness

SERVICE = "gateway"
SETTINGS = {"port": str(free_port())}
GONE = "this token is not, or no longer, good for anything"


def client(stage: ServiceHarness, token: str | None = None, owner: str | None = None) -> httpx.Client:
    """A client with a token, or the cluster's."""
    token = token or (stage.settings.home / "token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"} | ({"Makima-Owner": owner} if owner else {})
    return httpx.Client(base_url=f"http://127.0.0.1:{stage.settings.port}", headers=headers, timeout=30, verify=False)


def titles(asking: httpx.Client) -> list[str]:
    """The directives that a client sees."""
    answer = asking.get("/v1/directives")
    assert answer.status_code == 200, answer.text
    return [one["title"] for one in answer.json()]


def detail(answer: httpx.Response, status: int) -> str:
    """What is wrong, in one line."""
    assert answer.status_code == status, answer.text
    said: str = answer.json()["detail"]
    assert "\n" not in said
    return said


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{min(route.http_methods)} {min(route.paths)}")
def test_every_route_declares_who_may_ask_for_it(route: object) -> None:
    assert "role" in route.opt  # type: ignore[attr-defined]
    assert route.opt["role"] is None or route.opt["role"] in Role  # type: ignore[attr-defined]


def test_a_person_sees_what_is_of_the_tokens_owner_alone(stage: ServiceHarness) -> None:
    stage.rows.directive("Ours", owner="red")
    stage.rows.directive("Theirs", owner="blue")
    ada = stage.rows.member("ada", "viewer", "red")
    assert titles(client(stage, stage.rows.token(ada, "red"))) == ["Ours"]


def test_the_clusters_token_acts_in_the_owner_that_the_header_names(stage: ServiceHarness) -> None:
    stage.rows.directive("Theirs", owner="blue")
    stage.rows.directive("Own")
    assert titles(client(stage)) == ["Own"]
    assert titles(client(stage, owner="blue")) == ["Theirs"]
    assert detail(client(stage, owner="nobody").get("/v1/directives"), 404) == "no owner 'nobody'"


def test_a_persons_token_is_for_its_owner_whatever_the_header_says(stage: ServiceHarness) -> None:
    stage.rows.owner("blue")
    token = stage.rows.token(stage.rows.member("ada", owner="red"), "red")
    assert titles(client(stage, token, "red")) == []
    for other in ("blue", "nobody"):
        assert detail(client(stage, token, other).get("/v1/directives"), 404) == f"no owner {other!r}"


@pytest.mark.parametrize(
    ("token", "member", "role"),
    [("admin", "viewer", "viewer"), ("viewer", "admin", "viewer"), ("operator", "admin", "operator")],
)
def test_a_token_may_the_lesser_of_its_role_and_its_persons(
    stage: ServiceHarness, token: str, member: str, role: str
) -> None:
    asking = client(stage, stage.rows.token(stage.rows.member("ada", member, "red"), "red", token))
    may = asking.post("/v1/directives", json={"title": "t", "goal": "g"})
    if role == "viewer":
        assert detail(may, 403).startswith("this takes the role operator, and this token has the role viewer in red")
    else:
        assert may.status_code == 201, may.text
    assert "takes the role admin" in detail(asking.get("/v1/daemons/keys"), 403)


@pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
def test_a_token_that_was_revoked_or_has_expired_is_good_for_nothing(stage: ServiceHarness, column: str) -> None:
    ada = stage.rows.member("ada", owner="red")
    good, bad = (stage.rows.token(ada, "red", **columns) for columns in ({}, {column: "2020-01-01"}))
    assert titles(client(stage, good)) == []
    answer = client(stage, bad).get("/v1/directives")
    assert GONE in detail(answer, 401) and answer.headers["WWW-Authenticate"]


def test_a_token_of_somebody_who_is_no_member_any_more_is_good_for_nothing(stage: ServiceHarness) -> None:
    token = stage.rows.token(stage.rows.member("ada", owner="red"), "red")
    stage.connection.execute("DELETE FROM makima.member")
    assert GONE in detail(client(stage, token).get("/v1/directives"), 401)


def test_when_a_token_was_used_is_kept_to_the_minute(stage: ServiceHarness) -> None:
    token = stage.rows.token(stage.rows.member("ada", owner="red"), "red")
    asking = client(stage, token)

    def used() -> object:
        return stage.rows.all("person_token")[0]["last_used_at"]

    titles(asking)
    stage.until(lambda: used() is not None, "the first use")
    first = used()
    for _ in range(5):
        titles(asking)
    titles(client(stage))
    assert used() == first


def made(asking: httpx.Client, path: str, status: int = 201, **body: object) -> Any:
    """What a POST answers."""
    answer = asking.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def events(stage: ServiceHarness, kind: str) -> list[dict[str, Any]]:
    """The bodies of the audit log's entries of a type."""
    return [entry["body"] for entry in stage.rows.all("event", type=kind)]


def ada(stage: ServiceHarness) -> httpx.Client:
    """An owner's first admin."""
    name = f"team-{new_id().hex[-12:]}"
    return client(stage, made(client(stage), "/v1/owners", name=name, admin="ada")["token"])


def test_an_owner_is_made_with_an_admin_whose_token_is_told_once(stage: ServiceHarness) -> None:
    name, key = f"team-{new_id().hex[-12:]}", {"Idempotency-Key": str(new_id())}
    body = {"name": name, "admin": "ada", "max_running": 3}
    first, again = (client(stage).post("/v1/owners", json=body, headers=key).json() for _ in range(2))
    assert first == again and first["max_running"] == 3
    me = client(stage, first["token"]).get("/v1/me").json()
    assert me == {"owner": name, "role": "admin", "person": "ada", "cluster": False}
    kept = json.dumps([stage.rows.all(table) for table in ("idempotency_key", "person_token", "event")], default=str)
    assert first["token"].removeprefix("mkt_") not in kept, "the token itself is nowhere"
    assert "there is an owner" in detail(client(stage).post("/v1/owners", json=body), 409)
    assert events(stage, "owner.changed")[0]["by"] == "the cluster's administrator"


def test_limits_are_the_clusters_to_set_and_every_members_to_see(stage: ServiceHarness) -> None:
    admin = ada(stage)
    name = admin.get("/v1/me").json()["owner"]
    assert "only the cluster's own token" in detail(admin.patch("/v1/owner", json={"max_running": 9}), 403)
    cluster = client(stage, owner=name)
    assert cluster.patch("/v1/owner", json={"max_running": 9, "max_cost_usd_a_day": 2.5}).status_code == 200
    stage.await_event(SlotsFree, owner=name)
    assert cluster.patch("/v1/owner", json={"max_running": None}).status_code == 200
    shown = admin.get("/v1/owner").json()
    assert (shown["max_running"], shown["max_cost_usd_a_day"], shown["members"]) == (None, 2.5, 1)
    refused = client(stage).patch("/v1/owner", json={"max_running": 1})
    assert "is a setting of the cluster" in detail(refused, 409)


def test_a_member_gets_a_role_another_one_and_none(stage: ServiceHarness) -> None:
    admin = ada(stage)
    assert admin.put("/v1/members/grace@example.org", json={}).json()["role"] == "operator"
    token = made(admin, "/v1/tokens", name="laptop", person="grace@example.org")["token"]
    grace = client(stage, token)
    assert grace.post("/v1/directives", json={"title": "t", "goal": "g"}).status_code == 201
    assert [e["by"] for e in events(stage, "directive.created")] == ["grace@example.org"]
    admin.put("/v1/members/grace@example.org", json={"role": "viewer"}).raise_for_status()
    assert "has the role viewer" in detail(grace.post("/v1/directives", json={"title": "t", "goal": "g"}), 403)
    assert admin.delete("/v1/members/grace@example.org").status_code == 200
    assert GONE in detail(grace.get("/v1/me"), 401)
    assert "no member" in detail(admin.get("/v1/members/grace@example.org"), 404)
    assert [e["role"] for e in events(stage, "member.changed")] == ["admin", "operator", "viewer", None]
    assert {e["by"] for e in events(stage, "member.changed")[1:]} == {"ada"}


def test_the_last_admin_stays_one_unless_the_cluster_says_otherwise(stage: ServiceHarness) -> None:
    admin = ada(stage)
    owner = admin.get("/v1/me").json()["owner"]
    for refused in (admin.delete("/v1/members/ada"), admin.put("/v1/members/ada", json={"role": "viewer"})):
        assert "ada is the only admin" in detail(refused, 409)
    admin.put("/v1/members/grace", json={"role": "admin"}).raise_for_status()
    assert admin.put("/v1/members/ada", json={"role": "viewer"}).status_code == 200
    assert client(stage, owner=owner).delete("/v1/members/grace").status_code == 200


@pytest.mark.parametrize("name", ["-x", "a b", "x" * 200, "a/b"])
def test_a_name_that_nobody_can_have_is_refused_in_a_line(stage: ServiceHarness, name: str) -> None:
    answer = ada(stage).put(f"/v1/members/{quote(name, safe='')}", json={})
    assert answer.status_code in (404, 422) and "\n" not in answer.json()["detail"]


def test_a_token_never_gets_more_than_its_maker_or_its_person_has(stage: ServiceHarness) -> None:
    admin = ada(stage)
    admin.put("/v1/members/grace", json={"role": "operator"}).raise_for_status()
    over = admin.post("/v1/tokens", json={"name": "x", "person": "grace", "role": "admin"})
    assert "grace has the role operator" in detail(over, 409)
    grace = client(stage, made(admin, "/v1/tokens", name="laptop", person="grace")["token"])
    small = made(grace, "/v1/tokens", name="small", role="viewer")
    assert (small["person"], small["role"]) == ("grace", "viewer")
    looking = client(stage, small["token"])
    for role in ("operator", "admin"):
        assert "makes none with the role" in detail(looking.post("/v1/tokens", json={"name": "x", "role": role}), 403)
    assert made(looking, "/v1/tokens", name="y")["role"] == "viewer"


def test_others_tokens_are_an_admins_alone(stage: ServiceHarness) -> None:
    admin = ada(stage)
    admin.put("/v1/members/grace", json={}).raise_for_status()
    made(admin, "/v1/tokens", name="mine")
    grace = client(stage, made(admin, "/v1/tokens", name="laptop", person="grace")["token"])
    assert {t["person"] for t in admin.get("/v1/tokens").json()} == {"ada", "grace"}
    assert [t["name"] for t in grace.get("/v1/tokens").json()] == ["laptop"]
    assert "take the role admin" in detail(grace.get("/v1/tokens?person=ada"), 403)
    assert "take the role admin" in detail(grace.post("/v1/tokens", json={"name": "x", "person": "ada"}), 403)
    (adas,) = [t["id"] for t in admin.get("/v1/tokens?person=ada").json() if t["name"] == "mine"]
    missing = detail(grace.delete(f"/v1/tokens/{new_id()}"), 404)
    assert detail(grace.delete(f"/v1/tokens/{adas}"), 404)[:8] == missing[:8] == "no token"
    (own,) = [t["id"] for t in grace.get("/v1/tokens").json()]
    assert grace.delete(f"/v1/tokens/{own}").status_code == 200
    assert GONE in detail(grace.get("/v1/me"), 401)
    assert [e["status"] for e in events(stage, "token.changed")][-1] == "revoked"


def test_the_clusters_token_says_whose_token_it_makes(stage: ServiceHarness) -> None:
    owner = ada(stage).get("/v1/me").json()["owner"]
    refused = client(stage, owner=owner).post("/v1/tokens", json={"name": "x"})
    assert "say whose token" in detail(refused, 422)
    assert made(client(stage, owner=owner), "/v1/tokens", name="x", person="ada")["role"] == "admin"


def test_a_token_made_twice_by_one_key_is_one_token_and_only_its_askers(stage: ServiceHarness) -> None:
    admin, key = ada(stage), {"Idempotency-Key": "k"}
    one, two = (admin.post("/v1/tokens", json={"name": "ci"}, headers=key).json() for _ in range(2))
    assert one == two
    other = client(stage, one["token"])
    assert "was used for another request" in detail(other.post("/v1/tokens", json={"name": "ci"}, headers=key), 422)


ENDS: dict[str, Callable[[httpx.Client, str], httpx.Response]] = {
    "revoked": lambda admin, token: admin.delete(f"/v1/tokens/{token}"),
    "removed": lambda admin, _: admin.delete("/v1/members/grace"),
    "lowered": lambda admin, _: admin.put("/v1/members/grace", json={"role": "viewer"}),
}


@pytest.mark.parametrize("how", ENDS)
def test_what_a_token_holds_open_ends_with_it(stage: ServiceHarness, how: str) -> None:
    admin = ada(stage)
    owner = admin.get("/v1/me").json()["owner"]
    admin.put("/v1/members/grace", json={}).raise_for_status()
    token = made(admin, "/v1/tokens", name="laptop", person="grace")
    grace, ended = client(stage, token["token"]), dict[str, object]()
    _, task = stage.rows.running_step(stage.rows.directive(owner=owner))
    question = stage.rows.question(task)

    def listen() -> None:
        with grace.stream("GET", "/v1/events") as answer:
            ended["listens"] = True
            ended["stream"] = "".join(answer.iter_text())

    def wait() -> None:
        with client(stage, token["token"]) as asking:
            ended["answer"] = asking.get(f"/v1/questions/{question}?wait=25").status_code

    before = stage.subscribed(QuestionAnswered())
    threads = [threading.Thread(target=of, daemon=True) for of in (listen, wait)]
    for thread in threads:
        thread.start()
    stage.until(lambda: "listens" in ended and stage.subscribed(QuestionAnswered()) > before, "both to be open")
    began = time.monotonic()
    assert ENDS[how](admin, token["id"]).status_code == 200
    for thread in threads:
        thread.join(24)
    assert str(ended["stream"]).endswith("event: cut_off\ndata: {}\n\n") and ended["answer"] == 401
    assert time.monotonic() - began < 20, "not when its time was over"


def test_a_stream_ends_when_its_token_expires(stage: ServiceHarness) -> None:
    token = made(ada(stage), "/v1/tokens", name="brief", expires_seconds=3)["token"]

    def refused() -> bool:
        with client(stage, token).stream("GET", "/v1/events") as answer:
            told = "".join(answer.iter_text())  # all of it, which has no end but that of the token
            return answer.status_code == 401 and GONE in told

    stage.until(refused, "the end of what it holds open")


def test_a_folder_of_the_clusters_machine_is_its_administrators_to_give(stage: ServiceHarness) -> None:
    admin = ada(stage)
    owner = admin.get("/v1/me").json()["owner"]
    body = {"title": "t", "goal": "g"}
    for folder in ("/srv/shop.git", "file:///srv/shop.git", "../shop.git"):
        refused = admin.post("/v1/directives", json={**body, "repository_url": folder})
        assert "is for the cluster's administrator to give" in detail(refused, 403)
        made(client(stage, owner=owner), "/v1/directives", **body, repository_url=folder)
    made(admin, "/v1/directives", **body, repository_url="git@example.org:acme/shop")
    own = client(stage, stage.rows.token(stage.rows.member("linus")))
    made(own, "/v1/directives", **body, repository_url="/srv/shop.git")
