"""People's tokens: whose request it is, in which owner, and what that may."""

from __future__ import annotations

import httpx
import pytest

from services.gateway.application import ROUTES
from shared.domain.roles import Role
from tests.contract.gateway.test_gateway import free_port
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
