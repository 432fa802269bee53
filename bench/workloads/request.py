"""W4: a one-step directive over HTTP, given its plan: from the request to the SpawnTask, one after another."""

from __future__ import annotations

import time

from bench.cluster import cluster
from bench.figures import Figure, spread
from shared.domain.plans import PlannedStep

TIMES = 200


def run(scale: float) -> list[Figure]:
    """W4."""
    plan = [PlannedStep(name="only", task_plan="true")]
    took = []
    with cluster() as running:
        driver, api = running.driver(), running.api()
        for n in range(max(round(TIMES * scale), 3) + 20):
            sent = time.monotonic_ns()
            api.create(f"request {n}", plan, start=True)
            seen = next(s for s in driver.collect(2) if s.name == "only")
            if n >= 20:  # the first ones warm up
                took.append((seen.received - sent) / 1e6)
    return spread("request to SpawnTask", took, "ms", 6.0, 15.0)
