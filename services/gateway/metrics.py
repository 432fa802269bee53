"""Metrics in Prometheus's text format: requests by route, listeners, and what the database counts.

Labels are bounded: routes are those that there are, methods those of HTTP, statuses those that rows have.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.gateway.feed.live import Live
from services.gateway.rows.counts import Count

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
METHODS = frozenset({"GET", "POST", "PATCH", "DELETE", "OPTIONS", "HEAD", "PUT"})
REQUESTS = Counter(
    "makima_http_requests", "Requests, by what they were answered.", ("method", "route", "status"), registry=REGISTRY
)
DURATION = Histogram(
    "makima_http_request_duration_seconds",
    "Time from a request to the start of its answer.",
    ("method", "route"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    registry=REGISTRY,
)
ProcessCollector(registry=REGISTRY)
COUNTED = {
    "directives": ("makima_directives", "Directives by status."),
    "tasks": ("makima_live_tasks", "Tasks that have not ended, by status."),
    "daemons": ("makima_daemons", "Daemons by whether they are connected."),
    "slots": ("makima_slots", "Slots of the connected daemons."),
}


def timed(app: ASGIApp) -> ASGIApp:
    """The middleware that counts every request, and measures it until its answer begins."""

    async def measuring(scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                method, route = _labels(scope)
                DURATION.labels(method, route).observe(time.perf_counter() - began)
                REQUESTS.labels(method, route, str(message["status"])).inc()
            await send(message)

        await app(scope, receive, sending)

    return measuring


def _labels(scope: Scope) -> tuple[str, str]:
    """A request's method and route, as far as there are such."""
    method = scope["method"] if scope["type"] == ScopeType.HTTP else ""
    return method if method in METHODS else "other", scope["path_template"] or "unknown"


class _Scraped(Collector):
    """What is looked up at each scrape."""

    def __init__(self, counts: Sequence[Count], live: Live) -> None:
        self._counts = counts
        self._live = live

    def collect(self) -> Iterator[Metric]:
        """The families of these metrics."""
        for what, (name, says) in COUNTED.items():
            gauge = GaugeMetricFamily(name, says, labels=["status"])
            for count in self._counts:
                if count.what == what:
                    gauge.add_metric([count.status], count.many)
            yield gauge
        yield GaugeMetricFamily("makima_event_listeners", "Clients of the event stream.", len(self._live.clients))
        cut_off = "Clients of the event stream that were cut off for being slow."
        yield CounterMetricFamily("makima_event_listeners_cut_off", cut_off, self._live.cut_off)
        yield CounterMetricFamily("makima_events_sent", "Events handed to clients of the stream.", self._live.sent)


def exposition(counts: Sequence[Count], live: Live) -> bytes:
    """Everything that is counted, as a scrape is answered."""
    scraped = CollectorRegistry()
    scraped.register(_Scraped(counts, live))
    return generate_latest(REGISTRY) + generate_latest(scraped)
