"""Metrics as Prometheus reads them: the format, and the rules that promtool holds names to."""

from __future__ import annotations

import re

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from services.gateway.application import ROUTES
from tests.contract.gateway.test_gateway import create, free_port, http
from tests.contract.service_harness import ServiceHarness

__all__ = ["http"]
SERVICE = "gateway"
SETTINGS = {"port": str(free_port())}
UNITS = ("milliseconds", "minutes", "hours", "kilobytes", "megabytes", "kib", "mib", "percent", "celsius", "ms")
"""promtool: durations are in seconds, sizes in bytes, shares in ratios."""
RESERVED = ("_total", "_count", "_sum", "_bucket")


def scraped(http: httpx.Client) -> dict[str, Metric]:
    """What a scrape gives, by name. A counter's name has no `_total` here."""
    answer = http.get("/metrics").raise_for_status()
    assert answer.headers["content-type"].count("charset") == 1
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(metric: Metric, **labels: str) -> float:
    """The value of a metric with these labels; 0 when nothing was counted."""
    return sum(
        s.value
        for s in metric.samples
        if labels.items() <= s.labels.items() and not s.name.endswith(("_bucket", "_sum"))
    )


def test_names_are_as_promtool_wants_them(http: httpx.Client) -> None:
    create(http)
    families = scraped(http)
    for name, family in families.items():
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name), "snake case"
        assert family.documentation, f"{name} has no help"
        assert not name.endswith(RESERVED), f"{name} ends as something else does"
        assert not any(name.endswith(f"_{unit}") for unit in UNITS), f"{name} is in no base unit"
        assert family.type in ("counter", "gauge", "histogram"), f"{name} has no type"
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total"), sample.name
            assert not {"job", "instance", "le" if family.type != "histogram" else ""} & sample.labels.keys()
            assert all(re.fullmatch(r"[a-z][a-z0-9_]*", label) for label in sample.labels)
    assert {"makima_http_requests", "makima_http_request_duration_seconds", "makima_events_sent"} <= families.keys()
    assert families["process_cpu_seconds"].type == "counter"


def test_counters_count_up(stage: ServiceHarness, http: httpx.Client) -> None:
    http.get("/v1/overview").raise_for_status()
    asked = {"method": "GET", "route": "/v1/overview", "status": "200"}
    before = value(scraped(http)["makima_http_requests"], **asked)
    http.get("/v1/overview").raise_for_status()
    assert value(scraped(http)["makima_http_requests"], **asked) == before + 1
    stage.rows.directive(status="paused")
    assert value(scraped(http)["makima_directives"], status="paused") == 1


def test_labels_are_bounded_whatever_is_asked_for(http: httpx.Client) -> None:
    for n in range(30):
        http.get(f"/v1/directives/{n}")
        http.request(f"ODD{n}", "/v1/overview")
        http.get(f"/v1/daemons?cursor={n}")
    routes = {re.sub(r":\w+}", "}", path) for handler in ROUTES for path in handler.paths}
    for sample in scraped(http)["makima_http_requests"].samples:
        assert sample.labels["route"] in routes | {"unknown", "/schema", "/schema/openapi.json", "/schema/openapi.yaml"}
        assert sample.labels["method"] in ("GET", "POST", "PATCH", "DELETE", "OPTIONS", "other")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_what_watches_the_gateway_needs_no_token(stage: ServiceHarness, path: str) -> None:
    assert httpx.get(f"http://127.0.0.1:{stage.settings.port}{path}", timeout=30).status_code in (200, 503)
