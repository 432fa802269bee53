"""Browsers: signed in by a link once, known by a cookie that only the page's own requests make good, and signed out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from services.gateway.routes.page import BUILT
from shared import failpoints
from tests.contract.gateway.test_daemon_keys import armed, restart
from tests.contract.gateway.test_gateway import free_port
from tests.contract.service_harness import ServiceHarness

__all__ = ["armed"]
SERVICE = "gateway"
SETTINGS = {"port": str(free_port())}
PAGE = {"Makima-Page": "1"}
COOKIE = f"makima-{SETTINGS['port']}"


def browser(headers: dict[str, str] = PAGE) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{SETTINGS['port']}", headers=headers, timeout=30)


def link(stage: ServiceHarness, token: str | None = None) -> str:
    """The code of a new link, as whoever has this token, or the cluster's, asks for it."""
    token = token or (stage.settings.home / "token").read_text().strip()
    answer = browser({"Authorization": f"Bearer {token}"}).post("/v1/session/links")
    assert answer.status_code == 201, answer.text
    path, _, code = answer.json()["path"].partition("#")
    assert path == "/open"
    return code


def signed_in(stage: ServiceHarness, token: str | None = None) -> httpx.Client:
    client = browser()
    answer = client.post("/v1/session", json={"code": link(stage, token)})
    assert answer.status_code == 200, answer.text
    return client


def test_a_link_signs_one_browser_in_once(stage: ServiceHarness) -> None:
    code = link(stage)
    client = browser()
    answer = client.post("/v1/session", json={"code": code})
    assert answer.status_code == 200
    said = answer.headers["set-cookie"].lower()
    assert said.startswith(COOKIE) and "httponly" in said and "samesite=strict" in said and "path=/" in said
    assert client.get("/v1/overview").status_code == 200
    again = browser().post("/v1/session", json={"code": code})
    assert again.status_code == 401 and "makima open" in again.json()["detail"]


def test_a_cookie_is_good_for_the_pages_own_requests_alone(stage: ServiceHarness) -> None:
    client = signed_in(stage)
    foreign = browser({})
    foreign.cookies.update(client.cookies)
    assert foreign.get("/v1/overview").status_code == 401
    assert foreign.post("/v1/directives", json={"title": "t", "goal": "g"}).status_code == 401
    assert foreign.delete("/v1/session").status_code == 403
    assert browser({}).post("/v1/session", json={"code": link(stage)}).status_code == 403
    assert client.post("/v1/directives", json={"title": "t", "goal": "g"}).status_code == 201


@pytest.mark.parametrize("changed", ["cut", "another time", "signed by another", "nothing"])
def test_a_cookie_that_was_not_given_is_none(stage: ServiceHarness, changed: str) -> None:
    client = signed_in(stage)
    prefix, until, nonce, signed = client.cookies[COOKIE].split("_")
    other = {
        "cut": f"{prefix}_{until}_{nonce}_{signed[:-1]}",
        "another time": f"{prefix}_{int(until, 16) + 1:x}_{nonce}_{signed}",
        "signed by another": f"{prefix}_{until}_{nonce}_{'0' * 64}",
        "nothing": f"{prefix}_",
    }[changed]
    forger = browser()
    forger.cookies.set(COOKIE, other)
    assert forger.get("/v1/overview").status_code == 401


def test_a_persons_browser_may_what_the_person_may_and_ends_with_a_sign_out(stage: ServiceHarness) -> None:
    token = stage.rows.token(stage.rows.member("ada", "viewer", "default"), "default")
    client = signed_in(stage, token)
    assert client.cookies[COOKIE] != token
    assert client.get("/v1/overview").status_code == 200
    assert client.post("/v1/directives", json={"title": "t", "goal": "g"}).status_code == 403
    kept = dict(client.cookies)
    assert client.delete("/v1/session").status_code == 204
    thief = browser()
    thief.cookies.update(kept)
    assert thief.get("/v1/overview").status_code == 401
    assert browser({"Authorization": f"Bearer {token}"}).get("/v1/overview").status_code == 200


def test_who_is_no_member_any_more_is_signed_in_nowhere(stage: ServiceHarness) -> None:
    person = stage.rows.member("ada", "operator", "default")
    token = stage.rows.token(person, "default")
    client, code = signed_in(stage, token), link(stage, token)
    stage.connection.execute("DELETE FROM makima.member WHERE person_id = %s", (person,))
    stage.connection.commit()
    assert client.get("/v1/overview").status_code == 401
    assert browser().post("/v1/session", json={"code": code}).status_code == 401


@pytest.mark.usefixtures("stage")
def test_the_page_is_served_as_it_was_built_and_runs_nothing_of_others() -> None:
    assert (BUILT / "index.html").is_file(), "`./justw page` builds it"
    client = browser({})
    for place in ("/", "/open", "/directives/12", "/directives/12/steps/3", "/daemons"):
        answer = client.get(place)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "frame-ancestors 'none'" in policy
        assert "<script>" not in answer.text and " style=" not in answer.text
    for file in (BUILT / "assets").iterdir():
        answer = client.get(f"/assets/{file.name}")
        assert answer.content == file.read_bytes()
        assert "immutable" in answer.headers["cache-control"] and answer.headers["x-content-type-options"] == "nosniff"
    for outside in ("/assets/..%2findex.html", "/assets/nothing.js", "/assets/%2e%2e/routes/page.py"):
        assert client.get(outside).status_code == 404


def test_whoever_waits_for_an_answer_asks_again_when_the_gateway_is_told_to_end(stage: ServiceHarness) -> None:
    _, task = stage.rows.running_step(stage.rows.directive())
    question = stage.rows.question(task)
    stage.connection.commit()
    client = signed_in(stage)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.get, f"/v1/questions/{question}?wait=25")
        stage.await_log("request answered")
        stage.stop()
        answer = waiting.result()
    assert (answer.status_code, answer.json()["open"]) == (200, True)


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
def test_a_browser_whose_gateway_dies_as_it_signs_in_takes_another_link(
    stage: ServiceHarness, armed: Path, moment: str
) -> None:
    token = stage.rows.token(stage.rows.member("ada", "viewer", "default"), "default")
    code = link(stage, token)
    failpoints.arm(armed, f"gateway.sign_in.{moment}", "kill")
    with pytest.raises(httpx.TransportError):
        browser().post("/v1/session", json={"code": code})
    restart(stage)
    assert browser().post("/v1/session", json={"code": code}).status_code == 401
    assert signed_in(stage, token).get("/v1/overview").status_code == 200


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
def test_a_browser_whose_gateway_dies_as_it_signs_out_signs_out_again(
    stage: ServiceHarness, armed: Path, moment: str
) -> None:
    client = signed_in(stage, stage.rows.token(stage.rows.member("ada", "viewer", "default"), "default"))
    kept = dict(client.cookies)
    failpoints.arm(armed, f"gateway.sign_out.{moment}", "kill")
    with pytest.raises(httpx.TransportError):
        client.delete("/v1/session")
    restart(stage)
    assert client.delete("/v1/session").status_code == 204
    thief = browser()
    thief.cookies.update(kept)
    assert thief.get("/v1/overview").status_code == 401
