"""Whose page asks, by which name, by which proxy: only the gateway's own pages and proxies that are named count."""

from __future__ import annotations

from http.client import HTTPConnection

import httpx
import pytest

from services.gateway.http.proxies import Proxies
from tests.conftest import free_port
from tests.contract.service_harness import ServiceHarness

SERVICE = "gateway"
PORT = str(free_port())
PROXY, SOMEBODY = "127.0.0.2", "127.0.0.3"
SETTINGS = {"port": PORT, "trusted_proxies": f"{PROXY},10.1.0.0/16", "gateway_names": "makima.example.org"}
OWN = f"http://127.0.0.1:{PORT}"


def asked(stage: ServiceHarness, headers: dict[str, str], by: str = SOMEBODY, method: str = "GET") -> httpx.Response:
    """The answer to somebody known, whose connection comes from an address."""
    token = (stage.settings.home / "token").read_text()
    with httpx.Client(transport=httpx.HTTPTransport(local_address=by), base_url=OWN, timeout=30) as client:
        return client.request(method, "/v1/directives", headers={"authorization": f"Bearer {token}", **headers})


FORWARDED = {"x-forwarded-host": "makima.example.org", "x-forwarded-proto": "https", "x-forwarded-for": "192.0.2.7"}


@pytest.mark.parametrize(
    ("headers", "by"),
    [
        ({}, SOMEBODY),
        ({"origin": OWN}, SOMEBODY),
        ({"origin": OWN.upper().replace("HTTP", "http")}, SOMEBODY),
        ({"origin": OWN, "sec-fetch-site": "same-origin"}, SOMEBODY),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, SOMEBODY),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, SOMEBODY),
        ({"host": "makima.example.org:80", "origin": "http://makima.example.org"}, SOMEBODY),
        ({**FORWARDED, "origin": "https://makima.example.org"}, PROXY),
        ({**FORWARDED, "x-forwarded-host": "MAKIMA.example.org:443", "origin": "https://makima.example.org"}, PROXY),
        ({**FORWARDED, "x-forwarded-proto": "http, https", "origin": "https://makima.example.org"}, PROXY),
    ],
)
def test_the_gateways_own_pages_and_programs_are_answered(
    stage: ServiceHarness, headers: dict[str, str], by: str
) -> None:
    answer = asked(stage, headers, by)
    assert answer.status_code == 200, answer.text
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example.com"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": OWN + ".evil.example.com"},
        {"origin": OWN.replace("http:", "https:")},
        {"origin": f"http://127.0.0.1:{int(PORT) + 1}"},
        {"origin": f"http://localhost:{PORT}"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
        {"sec-fetch-site": "anything"},
    ],
)
def test_another_origins_page_is_refused_in_a_line(stage: ServiceHarness, headers: dict[str, str], method: str) -> None:
    refused = asked(stage, headers, method=method)
    assert refused.status_code == 403, refused.text
    assert "only" in refused.json()["detail"] and "\n" not in refused.json()["detail"]


def test_nobody_posts_by_leading_a_browser_here(stage: ServiceHarness) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert asked(stage, headers, method="POST").status_code == 403


def test_a_browser_that_asks_whether_it_may_is_not_told_so(stage: ServiceHarness) -> None:
    asking = {"origin": "https://evil.example.com", "access-control-request-method": "POST"}
    refused = asked(stage, asking, method="OPTIONS")
    assert not [name for name in refused.headers if name.startswith("access-control-")]


def test_of_somebody_who_is_no_proxy_nothing_forwarded_is_believed(stage: ServiceHarness) -> None:
    assert asked(stage, {"x-forwarded-host": "evil.example.com"}).status_code == 200
    assert asked(stage, {**FORWARDED, "origin": "https://makima.example.org"}).status_code == 403


def test_a_name_that_is_none_of_ours_is_refused_from_a_proxy_too(stage: ServiceHarness) -> None:
    assert asked(stage, {"x-forwarded-host": "evil.example.com"}, PROXY).status_code == 421


def test_two_hosts_are_none(stage: ServiceHarness) -> None:
    connection = HTTPConnection("127.0.0.1", stage.settings.port, timeout=30)
    connection.putrequest("GET", "/healthz", skip_host=True)
    for name in ("localhost", "evil.example.com"):
        connection.putheader("Host", name)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 400 and b"more than one Host" in answer.read()
    connection.close()


@pytest.mark.parametrize(
    ("peer", "said", "asks"),
    [
        ("10.1.2.3", ["192.0.2.7"], "192.0.2.7"),
        ("10.1.2.3", ["1.1.1.1, 192.0.2.7"], "192.0.2.7"),
        ("10.1.2.3", ["1.1.1.1", "192.0.2.7, 10.1.0.9"], "192.0.2.7"),
        ("10.1.2.3", ["10.1.0.8, 10.1.0.9"], "10.1.0.8"),
        ("10.1.2.3", ["1.1.1.1, nobody, 10.1.0.9"], "10.1.0.9"),
        ("10.1.2.3", ["nobody"], "10.1.2.3"),
        ("10.1.2.3", [""], "10.1.2.3"),
        ("10.1.2.3", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:10.1.2.3", ["192.0.2.7"], "192.0.2.7"),
        ("10.2.0.1", ["192.0.2.7"], "10.2.0.1"),
    ],
)
def test_who_asks_is_the_last_that_is_no_proxy(peer: str, said: list[str], asks: str) -> None:
    headers = [(b"host", b"x"), *((b"x-forwarded-for", one.encode()) for one in said)]
    scope = {"type": "http", "client": (peer, 4711), "scheme": "http", "headers": headers}
    believed = Proxies(["10.1.0.0/16"]).believed(scope)  # type: ignore[arg-type]
    assert believed["client"] is not None and believed["client"][0] == asks
    assert believed["headers"] == [(b"host", b"x")]
