"""W4: a one-step directive over HTTP, given its plan: from the request to the SpawnTask, one after another."""

from __future__ import annotations

import time

from bench.cluster import Api, Driver, cluster
from bench.figures import Figure, cpu_a_step, spread
from shared.domain.plans import PlannedStep

TIMES = 200
WARM_UP = 20
PLAN = [PlannedStep(name="only", task_plan="true")]


def run(scale: float) -> list[Figure]:
    """W4."""
    times = max(round(TIMES * scale), 3)
    with cluster() as running:
        driver, api = running.driver(), running.api()
        for n in range(WARM_UP):
            run_one(api, driver, f"warm up {n}")
        before = running.cpu_seconds()
        took = [run_one(api, driver, f"request {n}") for n in range(times)]
        cpu = cpu_a_step(before, running.cpu_seconds(), times)
    return [*spread("request to SpawnTask", took, "ms", 6.0, 15.0), *cpu]


def run_one(api: Api, driver: Driver, title: str) -> float:
    """Create and start a directive, and see it to its end; milliseconds from the request to its SpawnTask."""
    sent = time.monotonic_ns()
    api.create(title, PLAN, start=True)
    seen = next(s for s in driver.collect(2) if s.name == "only")
    return (seen.received - sent) / 1e6
