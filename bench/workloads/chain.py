"""W1: one directive, a chain of steps. A hop is from the report of a step to the SpawnTask of the next."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from bench.cluster import Api, Driver, cluster
from bench.daemon import Seen
from bench.figures import Figure, cpu_a_step, spread
from shared.domain.plans import PlannedStep

STEPS = 100
ROUNDS = 5


def run(scale: float) -> list[Figure]:
    """W1: hops of a chain, several times over, each a directive of its own after one to warm up."""
    with cluster() as running:
        driver, api = running.driver(), running.api()
        run_one(api, driver, "warm up", max(round(STEPS * scale), 3))
        before = running.cpu_seconds()
        hops = measure(api, driver, scale)
        cpu = cpu_a_step(before, running.cpu_seconds(), len(hops))
    with cluster() as running:
        driver, api = running.driver(all_reports=True), running.api()
        all_reports = measure(api, driver, scale)
    return [
        *spread("hop", hops, "ms", 3.0, 8.0),
        *spread("hop with accepted and started reported too", all_reports, "ms", None, None),
        *cpu,
    ]


def measure(api: Api, driver: Driver, scale: float) -> list[float]:
    """The hops of some chains, in milliseconds."""
    steps = max(round(STEPS * scale), 3)
    run_one(api, driver, "warm up", steps)
    return [hop for n in range(max(round(ROUNDS * scale), 1)) for hop in run_one(api, driver, f"chain {n}", steps)]


def plan(steps: int) -> list[PlannedStep]:
    """A chain."""
    return [PlannedStep(name=f"step {n}", task_plan="true", depends_on=(n - 1,) if n else ()) for n in range(steps)]


def run_one(api: Api, driver: Driver, title: str, steps: int) -> list[float]:
    """Run one chain to its end; its hops in milliseconds."""
    api.create(title, plan(steps), start=True)
    return hops([s for s in driver.collect(steps + 1) if s.name.startswith("step ")])


def hops(seen: Sequence[Seen]) -> list[float]:
    """Milliseconds from each report to the next step's SpawnTask."""
    inside = sorted(seen, key=lambda s: s.received)
    return [(b.received - a.reported) / 1e6 for a, b in itertools.pairwise(inside)]
