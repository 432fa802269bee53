"""What the cluster's processes count, each in its own memory. The gateway gathers it when it is scraped.

Counting is an addition to a dict: it may stand on the hot path. Every metric of a process is declared here, and nowhere
else, so that the gateway takes no other from it, and the documents list all. Labels have few values: never an id, a
name that people choose, or a text.
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec

BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Counter:
    """A number by label that only grows, until its process ends."""

    def __init__(self, name: str, says: str, *labels: str) -> None:
        self.name = name
        self.says = says
        self.labels = labels
        self.values: dict[tuple[str, ...], float] = {}
        COUNTERS[name] = self

    def add(self, *labels: str, by: float = 1) -> None:
        """Count one, or `by`, for these values of the labels."""
        self.values[labels] = self.values.get(labels, 0) + by


class Timing:
    """A histogram of durations in seconds."""

    def __init__(self, name: str, says: str) -> None:
        self.name = name
        self.says = says
        self.buckets = [0] * (len(BUCKETS_SECONDS) + 1)
        self.seconds = 0.0
        TIMINGS[name] = self

    def add(self, seconds: float) -> None:
        """Count one that took so long."""
        self.buckets[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.seconds += seconds


COUNTERS: dict[str, Counter] = {}
TIMINGS: dict[str, Timing] = {}

HOPS = Timing(
    "makima_hop_duration_seconds", "Time from an event or a report reaching a service to the commit of what follows."
)
RECONCILES = Counter("makima_reconciles", "Times a service looked for what is due, by how that ended.", "outcome")
EVENTS = Counter("makima_events_published", "Events published on the bus.")
SKIPPED = Counter("makima_messages_skipped", "Messages that could not be read or handed on.")
REFUSED = Counter("makima_connections_refused", "Connections to the broker that showed no valid key.")
ROUTED = Counter("makima_commands_routed", "Commands that the broker handed to a daemon.")
UNROUTABLE = Counter("makima_commands_unroutable", "Tasks that no connected daemon could take, by why.", "refusal")
UNHEARD = Counter("makima_reports_unheard", "Messages of daemons that came while no monitor led; they are sent again.")
PLANNINGS = Counter("makima_plannings_started", "Plan tasks made.")
SENT = Counter("makima_tasks_sent", "Attempts sent to daemons, by kind of task.", "kind")
ATTEMPTS = Counter("makima_attempts_ended", "Attempts that ended, by kind of task and outcome.", "kind", "outcome")
TASKS = Counter("makima_tasks_ended", "Tasks that ended, by kind and status.", "kind", "status")
COST = Counter("makima_cost_usd", "What ended attempts cost, in US dollars, as their agents said.", "kind")
TOKENS = Counter("makima_tokens", "Tokens that ended attempts used, as their agents said.", "kind")
ORDERED = Counter("makima_deliveries_started", "Tasks made to deliver, verify or look at a pull request.", "kind")
DELIVERED = Counter(
    "makima_deliveries_settled", "Deliveries whose result was drawn, by the directive's status.", "status"
)
TAKEN = Counter("makima_daemon_tasks_taken", "Attempts that a daemon began.")
GIVEN = Counter("makima_daemon_tasks_reported", "Attempts whose end a daemon reported, by how they ended.", "outcome")
RESTARTS = Counter("makima_process_restarts", "Times the supervisor started a process again, by process.", "name")
LEADS = Counter("makima_leaderships_won", "Times a process began to lead its role.")


class Counted(msgspec.Struct, frozen=True, array_like=True):
    """One value of a counter."""

    name: str
    labels: tuple[str, ...]
    value: float


class Timed(msgspec.Struct, frozen=True, array_like=True):
    """A histogram as it stands: how many fell into each bucket, those above the last one included."""

    name: str
    buckets: tuple[int, ...]
    seconds: float


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """All that one process counts, and what it uses of its machine."""

    service: str
    counters: tuple[Counted, ...]
    timings: tuple[Timed, ...]
    cpu_seconds: float
    resident_bytes: int
    virtual_bytes: int
    open_files: int
    most_files: int
    started: float
    """In seconds of the epoch."""


def counted() -> tuple[Counted, ...]:
    """Every value that this process has counted."""
    found = [(counter.name, dict(counter.values)) for counter in COUNTERS.values()]
    return tuple(Counted(name, labels, value) for name, values in found for labels, value in values.items())


def timed() -> tuple[Timed, ...]:
    """Every duration that this process has counted."""
    return tuple(Timed(t.name, tuple(t.buckets), t.seconds) for t in TIMINGS.values() if any(t.buckets))
