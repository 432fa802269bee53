"""What stands beside a body: paths, parameters and headers. None of it is an error of the gateway's, whatever it is."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from tests.contract.gateway.test_gateway import create, free_port, http
from tests.contract.service_harness import ServiceHarness

__all__ = ["http"]
SERVICE = "gateway"
SETTINGS = {"port": str(free_port())}
TURNED = quote("a\u202eb")
UNPRINTABLE = {
    "a NUL": "a%00b",
    "an escape": "a%1b%5b2Jb",
    "a control character of two bytes": "a%c2%9bb",
    "lines": "a%0d%0ab",
    "a text that turns": TURNED,
    "no UTF-8": "a%ff%feb",
    "half of a surrogate pair": "a%ed%a0%bdb",
}
NUMBERS = (2**31, 2**63 - 1, 2**63, -(2**63) - 1, 2**70, "9" * 400, "9" * 5000, "1e400", "nan", "inf", "-inf", "-0", "")
ODD = (*UNPRINTABLE.values(), *map(str, NUMBERS), "x" * 5000, "%", "%zz", "%00", "..%2f..", quote("٣"))

CHUNKED = "POST /v1/directives HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS_BYTES = 64 << 20


class Client:
    """A client that says exactly what it is told to."""

    def __init__(self, stage: ServiceHarness) -> None:
        self._port = stage.settings.port
        self._token = (stage.settings.home / "token").read_text().strip()

    def ask(self, method: str, target: str, headers: dict[str, str | bytes] | None = None) -> tuple[int, str]:
        """The status, and what a problem says."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            body = b"{}" if method == "POST" else b""
            given = {"Authorization": f"Bearer {self._token}", "Content-Length": str(len(body)), **(headers or {})}
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            if answer.headers.get_content_type() == "text/event-stream":
                return answer.status, ""
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.headers.get_content_type() != "application/problem+json":
            return answer.status, text
        detail: str = json.loads(text)["detail"]
        assert detail.isprintable(), detail
        return answer.status, detail


@pytest.fixture
def client(stage: ServiceHarness) -> Client:
    return Client(stage)


@pytest.mark.parametrize("odd", UNPRINTABLE.values(), ids=UNPRINTABLE)
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/v1/daemons/{}/drain"),
        ("GET", "/v1/directives/{}"),
        ("GET", "/v1/why/{}"),
        ("GET", "/v1/directives?status={}"),
        ("GET", "/v1/tasks?anything={}"),
        ("GET", "/v1/tasks?{}=1"),
        ("GET", "/{}"),
    ],
)
def test_a_character_that_nobody_sees_is_refused_in_a_line(client: Client, method: str, target: str, odd: str) -> None:
    status, detail = client.ask(method, target.format(odd))
    assert 400 <= status < 500 and detail


@pytest.mark.parametrize("key", [b"a\x1bb", b"a\x7fb", b"\xff\xfe", "a\u202eb".encode(), b"a\x00b", b"x" * 300])
def test_a_key_that_can_be_none_is_refused_in_a_line(client: Client, key: bytes) -> None:
    status, _ = client.ask("POST", "/v1/directives", {"Idempotency-Key": key})
    assert status in (400, 422)


@pytest.mark.parametrize("said", [b"a\x1bb", b"\xff", b"9" * 5000, b"-1", str(2**63).encode(), "٣".encode()])
def test_a_last_event_that_can_be_none_is_refused_in_a_line(client: Client, said: bytes) -> None:
    status, detail = client.ask("GET", "/v1/events", {"Last-Event-ID": said})
    assert status == 400 and detail


@pytest.mark.parametrize("begins", ["GET /", "GET / HTTP/1.1\r\nX: ", f"{CHUNKED}1;", f"{CHUNKED}0\r\nX: "], ids=repr)
def test_a_request_without_end_is_cut_off_while_it_is_short(stage: ServiceHarness, begins: str) -> None:
    with socket.create_connection(("127.0.0.1", stage.settings.port), timeout=30) as peer:
        sent = 0
        with suppress(ConnectionError):
            peer.sendall(begins.encode())
            while sent < ENDLESS_BYTES:
                sent += peer.send(b"a" * (64 << 10))
    assert sent < ENDLESS_BYTES


def test_a_body_in_small_chunks_is_taken_whole(stage: ServiceHarness, http: Any) -> None:
    body = json.dumps({"title": "Small", "goal": "x" * 400_000}).encode()
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(part), part) for part in (body[a : a + 100] for a in range(0, len(body), 100))
    )
    head = f"{CHUNKED[:-2]}Authorization: {http.headers['authorization']}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", stage.settings.port), timeout=30) as peer:
        peer.sendall(head.encode() + chunks + b"0\r\n\r\n")
        assert peer.recv(12) == b"HTTP/1.1 201"


def test_no_parameter_of_any_route_is_an_error_of_the_gateways(
    stage: ServiceHarness, http: Any, client: Client
) -> None:
    directive = create(http)
    asked = set()
    for method, target in targets(http.get("/schema/openapi.json").json(), directive):
        status, detail = client.ask(method, target)
        assert status < 500, f"{method} {target[:200]}: {status} {detail}"
        asked.add(target.partition("?")[0])
    assert len(asked) > 100
    assert client.ask("GET", f"/v1/directives/{directive}")[0] == 200
    assert stage.alive


def targets(schema: dict[str, Any], directive: UUID) -> Iterator[tuple[str, str]]:
    """Every parameter of every route with every odd value, the others as they should be."""
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            given = {p["name"]: p["in"] for p in route.get("parameters", ())}
            for name, place in given.items():
                for odd in ODD:
                    said = {other: str(directive) for other, where in given.items() if where == "path"}
                    if place == "path":
                        said[name] = odd
                    target = path
                    for other, value in said.items():
                        target = target.replace(f"{{{other}}}", value)
                    if place in ("path", "query"):
                        yield method.upper(), f"{target}?{name}={odd}" if place == "query" else target
