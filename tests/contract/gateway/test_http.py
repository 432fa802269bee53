"""HTTP that keeps its word: versions as ETags, where things are, pages, challenges, what the description says."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.contract.gateway.test_gateway import create, free_port, http
from tests.contract.gateway.test_rights import World
from tests.contract.service_harness import ServiceHarness

__all__ = ["http"]
SERVICE = "gateway"
SETTINGS = {"port": str(free_port())}


def test_a_directives_version_is_its_etag(http: httpx.Client) -> None:
    made = http.post("/v1/directives", json={"title": "A job", "goal": "Make it"})
    where = made.headers["location"]
    assert where == f"/v1/directives/{made.json()['id']}"
    shown = http.get(where)
    assert shown.headers["etag"] == made.headers["etag"] == f'"{shown.json()["version"]}"'
    changed = http.patch(where, json={"max_parallel": 2}, headers={"If-Match": shown.headers["etag"]})
    assert changed.status_code == 200 and changed.headers["etag"] != shown.headers["etag"]


@pytest.mark.parametrize("asked", ['"999"', 'W/"1"', '"1", "2"'])
def test_a_change_that_is_meant_for_another_version_is_refused_in_words(http: httpx.Client, asked: str) -> None:
    directive = create(http)
    http.patch(f"/v1/directives/{directive}", json={"max_parallel": 2}).raise_for_status()
    http.patch(f"/v1/directives/{directive}", json={"max_parallel": 3}).raise_for_status()
    refused = http.post(f"/v1/directives/{directive}/start", headers={"If-Match": asked})
    assert refused.status_code == 412
    assert refused.headers["etag"] == f'"{refused.json()["version"]}"'
    assert "look at it again" in refused.json()["detail"]


def test_any_version_matches_a_star_and_what_is_no_etag_matches_none(http: httpx.Client) -> None:
    directive = create(http)
    start = f"/v1/directives/{directive}/start"
    assert http.post(start, headers={"If-Match": "1"}).status_code == 412
    assert http.post(start, headers={"If-Match": "*"}).status_code == 200


def test_who_is_not_let_in_is_told_what_token_to_bring(stage: ServiceHarness) -> None:
    address = f"http://127.0.0.1:{stage.settings.port}/v1/directives"
    for headers in ({}, {"Authorization": "Bearer nothing"}, {"Authorization": "Basic eDp5"}):
        refused = httpx.get(address, headers=headers, timeout=30)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer ")


def test_the_scheme_of_a_token_may_be_written_in_any_case(stage: ServiceHarness) -> None:
    token = (stage.settings.home / "token").read_text().strip()
    address = f"http://127.0.0.1:{stage.settings.port}/v1/directives"
    assert httpx.get(address, headers={"Authorization": f"bearer {token}"}, timeout=30).status_code == 200
    assert httpx.get(address, headers={"Authorization": token}, timeout=30).status_code == 401


def walk(http: httpx.Client, path: str, **asked: object) -> list[dict[str, Any]]:
    """A list, page by page, as its links lead."""
    answer = http.get(path, params={"limit": 2, **asked})  # type: ignore[arg-type]
    found: list[dict[str, Any]] = answer.raise_for_status().json()
    pages = 1
    while link := answer.headers.get("link"):
        match = re.fullmatch(r'<(/[^>]+)>; rel="next"', link)
        assert match and pages < 10
        answer = http.get(match[1]).raise_for_status()
        assert 0 < len(answer.json()) <= 2
        found += answer.json()
        pages += 1
    return found


def test_lists_come_in_pages_that_lead_to_each_other(stage: ServiceHarness, http: httpx.Client) -> None:
    world = World(stage)
    made = [str(create(http, title=f"Job {n}")) for n in range(4)]
    assert [d["id"] for d in walk(http, "/v1/directives")] == [*made[::-1], str(world.directive)]
    for n, priority in enumerate(("low", "critical", "none", "high", "medium")):
        http.post("/v1/orders", json={"title": f"{n}", "priority": priority}).raise_for_status()
    assert [o["title"] for o in walk(http, "/v1/orders")] == ["1", "3", "4", "0", "2"]
    for name in ("d3", "d1", "d2"):
        stage.rows.daemon(name)
    assert [d["name"] for d in walk(http, "/v1/daemons")] == ["d1", "d2", "d3"]
    questions = [str(stage.rows.question(world.tasks["step"], f"Q{n}")) for n in range(3)]
    assert [q["id"] for q in walk(http, "/v1/questions")] == questions
    assert {i["id"] for i in walk(http, "/v1/inbox")} == set(questions)
    assert len(walk(http, "/v1/tasks", directive=world.directive)) == 3
    events = walk(http, f"/v1/directives/{made[0]}/events", after=0)
    assert [e["type"] for e in events] == ["directive.created"]


@pytest.mark.parametrize("cursor", ["nonsense", "bnVsbA", "", "e30="])
def test_a_cursor_of_another_list_is_refused(http: httpx.Client, cursor: str) -> None:
    answer = http.get("/v1/tasks", params={"cursor": cursor})
    assert answer.status_code in (200, 422), answer.text


def test_the_page_to_read_loads_nothing_and_names_every_operation(http: httpx.Client) -> None:
    page = http.get("/schema")
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"<script|<link|<img|@import|url\(|https?://(?!127)", page.text.lower())
    described = http.get("/schema/openapi.json").json()
    for path, item in described["paths"].items():
        for operation in item.values():
            assert path in page.text
            assert operation["tags"] and operation["description"] and operation["operationId"]


def test_what_was_answered_is_named_by_short_numbers(http: httpx.Client) -> None:
    first, second = (
        http.post("/v1/directives", json={"title": "x", "steps": [{"name": "a"}, {"name": "b"}]}) for _ in range(2)
    )
    assert second.json()["number"] == first.json()["number"] + 1
    assert [s["number"] for s in second.json()["steps"]] == [1, 2]
