"""Metrics in Prometheus's text format: this gateway's requests, what all processes count, and what the database holds.

Labels are bounded: routes are those that there are, methods those of HTTP, statuses those that rows have.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from services.gateway.feed.live import Live
from services.gateway.rows.counts import Sample
from shared.metrics import BUCKETS_SECONDS, COUNTERS, TIMINGS, Timed, Told
from shared.version import VERSION

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
GAUGES = {
    "directives": ("makima_directives", "Directives, by status.", ("status",)),
    "steps": ("makima_steps", "Steps that have not ended well, by status.", ("status",)),
    "tasks": ("makima_tasks", "Tasks that have not ended, by kind and status.", ("kind", "status")),
    "queues": ("makima_queue_length", "What waits for a service, by queue.", ("service", "queue")),
    "oldest": ("makima_queue_oldest_seconds", "How long a queue's oldest entry has existed.", ("service", "queue")),
    "daemons": ("makima_daemons", "Daemons, by whether they are connected.", ("status",)),
    "slots": ("makima_slots", "Slots of the connected daemons, and how many are taken.", ("status",)),
}
"""Read from the database at each scrape."""
WHOSE = ("service", "process")
"""Labels of whatever one process says of itself."""


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


class Scraped(Collector):
    """What is looked up, or asked of the processes, at each scrape."""

    def __init__(self, samples: Sequence[Sample], live: Live, processes: Mapping[str, Told | None]) -> None:
        self._samples = samples
        self._live = live
        self._processes = processes
        self._told = {name: told for name, told in processes.items() if told is not None}

    def collect(self) -> Iterator[Metric]:
        """The families of these metrics."""
        info = GaugeMetricFamily("makima_build_info", "1, with the version of the gateway.", labels=("version",))
        info.add_metric((VERSION,), 1)
        yield info
        for what, (name, says, labels) in GAUGES.items():
            gauge = GaugeMetricFamily(name, says, labels=labels)
            for sample in self._samples:
                if sample.what == what:
                    gauge.add_metric(sample.labels, sample.many)
            yield gauge
        yield GaugeMetricFamily("makima_event_listeners", "Clients of the event stream.", len(self._live.clients))
        cut_off = "Clients of the event stream that were cut off for being slow."
        yield CounterMetricFamily("makima_event_listeners_cut_off", cut_off, self._live.cut_off)
        yield CounterMetricFamily("makima_events_sent", "Events handed to clients of the stream.", self._live.sent)
        yield from self._counted()
        yield from self._timed()
        yield from self._used()

    def _counted(self) -> Iterator[Metric]:
        for name, declared in COUNTERS.items():
            family = CounterMetricFamily(name, declared.says, labels=(*declared.labels, *WHOSE))
            for process, told in self._told.items():
                for one in told.counters:
                    if one.name == name:
                        family.add_metric((*one.labels, told.service, process), one.value)
            yield family

    def _timed(self) -> Iterator[Metric]:
        for name, declared in TIMINGS.items():
            family = HistogramMetricFamily(name, declared.says, labels=WHOSE)
            for process, told in self._told.items():
                for one in told.timings:
                    if one.name == name:
                        family.add_metric((told.service, process), _buckets(one), one.seconds)
            yield family

    def _used(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("makima_process_up", "Whether a process of the cluster answers.", labels=("process",))
        for process, told in self._processes.items():
            up.add_metric((process,), int(told is not None))
        yield up
        cpu = CounterMetricFamily("process_cpu_seconds", "User and system processor time spent.", labels=WHOSE)
        for process, told in self._told.items():
            cpu.add_metric((told.service, process), told.cpu_seconds)
        yield cpu
        for name, (says, field) in USED.items():
            gauge = GaugeMetricFamily(name, says, labels=WHOSE)
            for process, told in self._told.items():
                gauge.add_metric((told.service, process), getattr(told, field))
            yield gauge


USED = {
    "process_resident_memory_bytes": ("Resident memory size.", "resident_bytes"),
    "process_virtual_memory_bytes": ("Virtual memory size.", "virtual_bytes"),
    "process_open_fds": ("Open file descriptors.", "open_files"),
    "process_max_fds": ("Most file descriptors that may be open.", "most_files"),
    "process_start_time_seconds": ("Start of the process, in seconds of the epoch.", "started"),
}
"""What a process uses of its machine, under the names that every Prometheus client gives it."""


def _buckets(one: Timed) -> list[tuple[str, float]]:
    """How many took at most so long, for each bound."""
    bounds = [*map(str, BUCKETS_SECONDS), "+Inf"]
    return list(zip(bounds, accumulate(map(float, one.buckets)), strict=True))


def exposition(samples: Sequence[Sample], live: Live, processes: Mapping[str, Told | None]) -> bytes:
    """Everything that is counted, as a scrape is answered."""
    scraped = CollectorRegistry()
    scraped.register(Scraped(samples, live, processes))
    return generate_latest(REGISTRY) + generate_latest(scraped)
