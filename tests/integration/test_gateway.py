"""The gateway over HTTP: live events, problem details, versions, keys, health, metrics, its own description."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
from prometheus_client import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families

from services.gateway.gathering import SERVICES
from shared.metrics import Counted
from shared.service.scraping import told
from tests.conftest import Cluster
from tests.waiting import until

PLAN = [{"name": "One", "taskPlan": "echo first; echo second"}, {"name": "Two", "dependsOn": ["One"]}]


LABELS = {
    *("service", "process", "kind", "status", "outcome", "queue", "name", "refusal", "version"),
    *("method", "route", "le"),
}
NOBODY = "00000000-0000-7000-8000-000000000000"
"""An id that nothing has."""


@pytest.fixture(scope="module")
def http(cluster: Cluster) -> Iterator[httpx.Client]:
    token = (cluster.home / "token").read_text()
    address = f"http://127.0.0.1:{cluster.environment['MAKIMA_PORT']}"
    with httpx.Client(base_url=address, headers={"authorization": f"Bearer {token}"}, timeout=60) as client:
        yield client


def create(http: httpx.Client, **fields: Any) -> dict[str, Any]:
    body = {"title": "A job", "steps": PLAN, **fields}
    answer = http.post("/v1/directives", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


class Events:
    """What a stream says, event by event."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()

    def next(self) -> tuple[str | None, str, dict[str, Any]]:
        """The next event's id, name and data."""
        number, name = None, ""
        for line in self._lines:
            key, _, value = line.partition(": ")
            if key == "id":
                number = value
            elif key == "event":
                name = value
            elif key == "data":
                return number, name, json.loads(value)
        return None, "end", {}

    def until(self, event_name: str, **body: str) -> list[tuple[str | None, str, dict[str, Any]]]:
        """All events up to the first of this name whose body holds these values."""
        seen = []
        while True:
            event = self.next()
            seen.append(event)
            assert event[1] != "end", seen
            if event[1] == event_name and body.items() <= event[2]["body"].items():
                return seen


@contextmanager
def stream(http: httpx.Client, **asked: Any) -> Iterator[Events]:
    headers = {"last-event-id": str(asked.pop("last_event_id"))} if "last_event_id" in asked else {}
    with http.stream("GET", "/v1/events", params=asked, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Events(answer)


def test_a_stream_carries_every_event_of_the_log_in_order_and_the_output_as_it_passes(http: httpx.Client) -> None:
    directive = create(http)["id"]
    with stream(http, directive=directive, after=0) as events:
        assert events.next()[1] == "directive.created"
        http.post(f"/v1/directives/{directive}/start")
        seen = events.until("directive.changed", status="completed")
    kept = [int(number) for number, _, _ in seen if number]
    log = http.get(f"/v1/directives/{directive}/events").json()
    assert kept == [e["seq"] for e in log if 0 < e["seq"] <= kept[-1]][1:]
    lines = [line for number, name, data in seen if name == "task.output" for line in data["body"]["lines"]]
    assert lines == ["first", "second"]


def test_a_stream_resumes_after_the_last_number_that_was_seen(http: httpx.Client) -> None:
    directive = create(http, start=True)["id"]
    with stream(http, directive=directive, after=0) as events:
        seen = events.until("step.changed", status="completed", name="One")
    last = [number for number, _, _ in seen if number][-1]
    with stream(http, directive=directive, last_event_id=last) as events:
        rest = events.until("directive.changed", status="completed")
    numbers = [int(n) for n, _, _ in [*seen, *rest] if n]
    assert numbers == sorted(set(numbers))
    log = http.get(f"/v1/directives/{directive}/events").json()
    assert numbers == [e["seq"] for e in log if e["seq"] <= numbers[-1]]


def test_a_listener_that_never_reads_is_cut_off_and_the_others_get_everything(http: httpx.Client) -> None:
    rests = "[ $((i % 100)) -ne 0 ] || sleep 0.2"  # so that who reads keeps up, also on a busy machine
    loud = f"for i in $(seq 1200); do printf '%08000d\\n' $i; {rests}; done"
    directive = create(http, steps=[{"name": "Shout", "taskPlan": loud}])["id"]
    with socket.create_connection((http.base_url.host, http.base_url.port or 80)) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = f"GET /v1/events?directive={directive}&after=0 HTTP/1.1\r\nhost: localhost\r\n"
        stuck.sendall(f"{head}authorization: {http.headers['authorization']}\r\n\r\n".encode())
        assert stuck.recv(4)
        with stream(http, directive=directive, after=0) as events:
            http.post(f"/v1/directives/{directive}/start")
            seen = events.until("directive.changed", status="completed")
        output = [data["body"] for _, name, data in seen if name == "task.output"]
        passed = {
            (o["task"], o["attempt"], o["first"]): len(o["lines"]) for o in output if o["task"] == output[0]["task"]
        }
        assert sum(passed.values()) == 1200
        until(lambda: "makima_event_listeners 0.0" in http.get("/metrics").text, "both listeners are gone")
        assert "makima_event_listeners_cut_off_total 1.0" in http.get("/metrics").text


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("GET", "/v1/directives/nonsense", None, 404, "there is nothing at /v1/directives/nonsense"),
        ("GET", f"/v1/directives/{NOBODY}", None, 404, "no directive "),
        ("GET", f"/v1/tasks/{NOBODY}/log", None, 404, "no task "),
        ("GET", "/v1/nowhere", None, 404, "there is nothing at /v1/nowhere"),
        ("PUT", "/v1/directives", None, 405, "/v1/directives doesn't take PUT"),
        ("POST", "/v1/directives", b'{"title', 400, "the body can't be read"),
        ("POST", "/v1/directives", b'{"title": 7}', 400, "title: expected string, got integer"),
        ("POST", "/v1/directives", b'{"title": "x", "goal": "y", "colour": 1}', 400, "unknown field `colour`"),
        ("POST", "/v1/directives", b'{"title": "x", "goal": "y", "max_parallel": 3000000000}', 400, "max_parallel"),
        ("POST", f"/v1/directives/{NOBODY}/dance", None, 404, "there is nothing at"),
        ("GET", "/v1/tasks?limit=0", None, 400, "limit: expected integer >= 1"),
        ("GET", "/v1/tasks?status=asleep", None, 400, "status: not 'asleep'; one of "),
        (
            "POST",
            "/v1/directives",
            b'{"title": "x", "on_failure": "z"}',
            400,
            "on_failure: not 'z'; one of continue, pause, replan",
        ),
        ("POST", "/v1/directives", b"", 400, "the body is missing; send a JSON object"),
        ("GET", "/schema/swagger", None, 404, "there is nothing at this address below /schema"),
    ],
)
def test_every_error_is_a_problem_detail_of_one_line(
    http: httpx.Client, method: str, path: str, body: bytes | None, status: int, says: str
) -> None:
    answer = http.request(method, path, content=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["status"] == status
    assert says in problem["detail"]
    assert "\n" not in problem["detail"]
    assert "Traceback" not in answer.text


def test_head_is_taken_wherever_get_is_and_says_the_same_without_a_body(http: httpx.Client) -> None:
    for path, operations in http.get("/schema/openapi.json").json()["paths"].items():
        place = path.replace("{name}", "daemon-1").replace("{", "").replace("}", "")
        if "get" in operations and path != "/v1/events" and "{" not in path:
            got, head = (http.request(method, place) for method in ("GET", "HEAD"))
            assert (head.status_code, head.content) == (got.status_code, b""), path
            assert head.headers["content-type"] == got.headers["content-type"]
            allowed = set(http.options(place).headers["allow"].split(", "))
            assert allowed == {"OPTIONS", "HEAD", *map(str.upper, operations)}
            assert set(http.put(place).headers["allow"].split(", ")) == allowed
    assert http.head("/v1/events").status_code == 200


def test_a_request_has_a_name_in_its_answer_and_in_the_log(http: httpx.Client, cluster: Cluster) -> None:
    given = http.post("/v1/directives", json={"title": "Named", "goal": "x"}, headers={"x-request-id": "my-own.1"})
    assert given.headers["x-request-id"] == "my-own.1"
    made, odd = http.get("/healthz"), http.get("/healthz", headers={"x-request-id": "two words"})
    assert made.headers["x-request-id"] != odd.headers["x-request-id"] != "two words"
    entries = [json.loads(line) for line in (cluster.home / "logs" / "gateway.log").read_text().splitlines()]
    (entry,) = [entry for entry in entries if entry.get("request") == "my-own.1"]
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/v1/directives", 201)


def test_large_answers_are_compressed_for_whoever_takes_that_but_not_a_stream(http: httpx.Client) -> None:
    page = http.get("/schema", headers={"accept-encoding": "gzip"})
    assert page.headers["content-encoding"] == "gzip" and "<h1>makima</h1>" in page.text
    assert not re.search(r"(src|href)=.https?://", page.text)  # it needs nothing from elsewhere
    assert "content-encoding" not in http.get("/schema", headers={"accept-encoding": "identity"}).headers
    with http.stream("GET", "/v1/events", headers={"accept-encoding": "gzip"}) as answer:
        assert "content-encoding" not in answer.headers


def test_every_operation_is_described(http: httpx.Client) -> None:
    for path, operations in http.get("/schema/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            assert operation["tags"] and operation["operationId"] and operation["description"], (method, path)
            assert " " in operation["summary"], (method, path)
            assert all(parameter.get("description") for parameter in operation.get("parameters", ())), (method, path)
            assert {"400", "500"} <= operation["responses"].keys()


def test_a_request_without_a_good_token_is_refused(http: httpx.Client) -> None:
    for path in ("/v1/directives", "/v1/events", "/v1/tasks"):
        answer = http.get(path, headers={"authorization": "Bearer wrong"})
        assert (answer.status_code, answer.json()["status"]) == (401, 401)


def test_who_changes_what_somebody_else_has_changed_is_told_the_current_version(http: httpx.Client) -> None:
    made = create(http, goal="Later")
    changed = http.post(f"/v1/directives/{made['id']}/archive", params={"version": made["version"]})
    assert changed.json()["version"] == made["version"] + 1
    late = http.post(f"/v1/directives/{made['id']}/start", params={"version": made["version"]})
    assert (late.status_code, late.json()["version"]) == (409, made["version"] + 1)
    assert "look at it again" in late.json()["detail"]


def test_a_post_with_the_same_key_is_done_once_and_answered_alike(http: httpx.Client) -> None:
    key = {"idempotency-key": str(uuid4())}
    body = {"title": "Once", "goal": "x"}
    first, again = (http.post("/v1/directives", json=body, headers=key) for _ in range(2))
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert [d["title"] for d in http.get("/v1/directives").json()].count("Once") == 1
    steps = {"steps": [{"name": "a"}]}
    added = [http.post(f"/v1/directives/{first.json()['id']}/steps", json=steps, headers=key) for _ in range(2)]
    assert [a.status_code for a in added] == [422, 422]
    key = {"idempotency-key": str(uuid4())}
    added = [http.post(f"/v1/directives/{first.json()['id']}/steps", json=steps, headers=key) for _ in range(2)]
    assert added[0].json() == added[1].json()
    assert len(http.get(f"/v1/directives/{first.json()['id']}").json()["steps"]) == 1


def test_a_refused_post_does_not_use_its_key_up(http: httpx.Client) -> None:
    key = {"idempotency-key": str(uuid4())}
    directive = create(http, goal="x", steps=None)["id"]
    cycle = {"steps": [{"name": "a", "dependsOn": ["b"]}, {"name": "b", "dependsOn": ["a"]}]}
    assert http.post(f"/v1/directives/{directive}/steps", json=cycle, headers=key).status_code == 422
    fixed = {"steps": [{"name": "a"}]}
    assert http.post(f"/v1/directives/{directive}/steps", json=fixed, headers=key).status_code == 201


def test_lists_come_in_pages(http: httpx.Client) -> None:
    made = [create(http, title=f"Page {n}")["id"] for n in range(3)]
    newest = http.get("/v1/directives", params={"limit": 2})
    assert [d["id"] for d in newest.json()] == made[:0:-1]
    older = http.get(newest.links["next"]["url"]).json()
    assert older[0]["id"] == made[0]
    assert older[0]["steps"] == {"pending": 2}


def test_the_schema_describes_every_route_with_the_shape_of_its_answer(http: httpx.Client) -> None:
    schema = http.get("/schema/openapi.json").json()
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                if status in ("200", "201", "202") and path not in ("/v1/events", "/metrics"):
                    content = answer["content"]["application/json"]["schema"]
                    assert content.get("$ref") or content.get("items", {}).get("$ref"), (method, path)
    assert "StepShown" in json.dumps(schema["components"]["schemas"])


def test_readiness_is_about_what_is_there(http: httpx.Client, cluster: Cluster) -> None:
    assert http.get("/readyz").json() == {"status": "ok", "postgres": "ok", "broker": "ok", "processes": {}}
    broker = json.loads((cluster.home / "run" / "cluster.json").read_text())["processes"]["broker"]
    os.kill(broker, signal.SIGSTOP)
    try:  # it stops a moment later
        until(lambda: http.get("/readyz").status_code == 503, "readiness to go")
        assert "the broker doesn't answer" in http.get("/readyz").json()["detail"]
        assert http.get("/healthz").status_code == 200
    finally:
        os.kill(broker, signal.SIGCONT)
    assert http.get("/readyz").status_code == 200


def test_metrics_of_every_process_come_from_one_place_and_keep_the_rules_of_names(
    http: httpx.Client, cluster: Cluster
) -> None:
    directive = create(http, start=True)["id"]
    cluster.await_status(directive, "completed")
    answer = http.get("/metrics")
    assert answer.headers.get_list("content-type") == [CONTENT_TYPE_LATEST]
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert not [family for family in families.values() if broken_rules(family)]
    up = {sample.labels["process"]: sample.value for sample in families["makima_process_up"].samples}
    assert up == dict.fromkeys([*cluster.processes().keys() - {"postgres"}, "cluster"], 1.0)
    services = {sample.labels["service"] for sample in families["process_cpu_seconds"].samples}
    assert services == SERVICES
    hops = {s.labels["service"] for s in families["makima_hop_duration_seconds"].samples if s.name.endswith("_count")}
    assert hops >= {"executor", "monitor", "completer"}
    ended = {tuple(s.labels[k] for k in ("kind", "status")): s.value for s in families["makima_tasks_ended"].samples}
    assert ended["step", "completed"] >= 2


def broken_rules(family: Metric) -> list[str]:
    """Which of Prometheus's rules of naming a family breaks: https://prometheus.io/docs/practices/naming/."""
    names = {sample.name for sample in family.samples}
    labels = {label for sample in family.samples for label in sample.labels}
    return [
        rule
        for rule, holds in {
            "a prefix of its own": family.name.startswith(("makima_", "process_")),
            "help": bool(family.documentation) and family.documentation.endswith("."),
            "a counter ends in _total": family.type != "counter" or names <= {f"{family.name}_total"},
            "only a counter does": family.type == "counter" or not family.name.endswith("_total"),
            "base units": not re.search(r"_(ms|milliseconds|minutes|hours|kb|mib|percent)(_|$)", family.name),
            "no time of creation": not any(name.endswith("_created") for name in names),
            "no ids": not any(
                re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", v) for s in family.samples for v in s.labels.values()
            ),
            "labels that are words": labels <= LABELS,
        }.items()
        if not holds
    ]


def test_a_socket_of_somebody_else_adds_no_metric_of_its_own(http: httpx.Client, cluster: Cluster) -> None:
    known = msgspec.structs.replace(
        told("daemon"), counters=(Counted("makima_tokens", ("step",), 5), FORGED, FORGED_LABEL)
    )
    for name, says in {
        "liar": msgspec.json.encode(known),
        "noise": b"{" * 300_000,
        "other": b'{"service": "x"}',
    }.items():
        with answering(cluster.home / "run" / "metrics" / f"{name}.sock", says):
            text = http.get("/metrics").text
        assert f'makima_process_up{{process="{name}"}} {float(name == "liar")}' in text
        assert "forged" not in text
    assert 'makima_process_up{process="liar"}' not in http.get("/metrics").text


FORGED, FORGED_LABEL = Counted("forged", (), 1), Counted("makima_tokens", ("forged\n",), 1)


@contextmanager
def answering(place: Path, says: bytes) -> Iterator[None]:
    """A process that says this to whoever connects, once."""

    def answer() -> None:
        with suppress(OSError):
            asking, _ = listening.accept()
            with asking:
                asking.sendall(says)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen()
        thread = threading.Thread(target=answer)
        thread.start()
        yield
        thread.join()
    place.unlink()


def test_every_process_says_its_part_of_a_directives_life_in_one_format(http: httpx.Client, cluster: Cluster) -> None:
    directive = create(http, start=True)["id"]
    cluster.await_status(directive, "completed")
    tasks = [task["id"] for task in http.get("/v1/tasks", params={"directive": directive}).json()]
    lines = {p.stem: p.read_text().splitlines() for p in (cluster.home / "logs").glob("*.log") if p.stem != "postgres"}
    entries = {name: [json.loads(line) for line in told] for name, told in lines.items()}
    assert all(entry.keys() >= {"timestamp", "level", "event"} for told in entries.values() for entry in told)
    about = {name for name, told in lines.items() for line in told if any(one in line for one in (directive, *tasks))}
    assert about >= {"executor", "monitor", "broker"} and any(name.startswith("daemon-") for name in about)
    assert "tasks sent" in cluster.makima("logs", "executor", "--directive", directive)


def test_metrics_count_requests_by_route_and_what_the_database_holds(http: httpx.Client, tmp_path: Path) -> None:
    http.get(f"/v1/directives/{create(http, title=tmp_path.name)['id']}")
    text = http.get("/metrics").text
    assert 'makima_http_requests_total{method="GET",route="/v1/directives/{directive}",status="200"}' in text
    assert 'makima_directives{status="draft"}' in text
    assert 'makima_daemons{status="connected"} 2.0' in text
