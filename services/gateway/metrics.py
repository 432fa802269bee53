"""Metrics in Prometheus's text format: requests by route, listeners, and what the database counts."""

from __future__ import annotations

import time

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from services.gateway.access import SQL
from services.gateway.live import Live
from shared.store.database import Database

REGISTRY = CollectorRegistry()
REQUESTS = Histogram(
    "makima_http_request_seconds",
    "Time from a request to the start of its answer.",
    ("method", "route", "status"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    registry=REGISTRY,
)
COUNTED = {
    "directives": Gauge("makima_directives", "Directives by status.", ("status",), registry=REGISTRY),
    "tasks": Gauge("makima_live_tasks", "Tasks that have not ended, by status.", ("status",), registry=REGISTRY),
    "daemons": Gauge("makima_daemons", "Daemons by whether they are connected.", ("status",), registry=REGISTRY),
    "slots": Gauge("makima_slots", "Slots of the connected daemons.", ("status",), registry=REGISTRY),
}
LISTENERS = Gauge("makima_event_listeners", "Clients of the event stream.", registry=REGISTRY)
CUT_OFF = Gauge("makima_event_listeners_cut_off_total", "Clients cut off for being slow.", registry=REGISTRY)
SENT = Gauge("makima_events_sent_total", "Events handed to clients.", registry=REGISTRY)


def timed(app: ASGIApp) -> ASGIApp:
    """The middleware that measures every request until its answer begins."""

    async def measuring(scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("path_template") or "unknown"
                labels = (scope["method"], route, str(message["status"]))  # type: ignore[typeddict-item]
                REQUESTS.labels(*labels).observe(time.perf_counter() - began)
            await send(message)

        await app(scope, receive, sending)

    return measuring


@get("/metrics", include_in_schema=False)
async def metrics(database: NamedDependency[Database], live: NamedDependency[Live]) -> Response[bytes]:
    """Everything that is counted, in Prometheus's text format."""
    for gauge in COUNTED.values():
        gauge.clear()
    for row in await database.rows(SQL["counts"]):
        COUNTED[row["what"]].labels(row["status"]).set(row["many"])
    LISTENERS.set(len(live.clients))
    CUT_OFF.set(live.cut_off)
    SENT.set(live.sent)
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


ROUTES = (metrics,)
