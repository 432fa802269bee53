"""W5: layered DAGs, three dependencies a step. What a step costs must not grow with the size of its DAG."""

from __future__ import annotations

import time

from bench.cluster import Api, Driver, cluster
from bench.figures import Figure
from shared.domain.plans import PlannedStep

WIDTH = 10
SIZES = (100, 1_000, 10_000)


def run(scale: float) -> list[Figure]:
    """W5."""
    with cluster() as running:
        driver, api = running.driver(), running.api()
        _microseconds_a_step(api, driver, 100)  # to warm up
        sizes = SIZES if scale == 1.0 else (20, 40)
        costs = {size: _microseconds_a_step(api, driver, size) for size in sizes}
    smallest = costs[sizes[0]]
    return [
        *(Figure(name=f"a step of {size:,}", value=cost, unit="us") for size, cost in costs.items()),
        *(
            Figure(name=f"a step of {size:,}, relative to {sizes[0]}", value=costs[size] / smallest, unit="x", goal=2.0)
            for size in sizes[1:]
        ),
    ]


def plan(size: int) -> list[PlannedStep]:
    """Layers of WIDTH steps; each step needs three of the layer before. Positions would be those of one batch only."""
    return [
        PlannedStep(
            name=f"step {n}",
            task_plan="true",
            depends_on=tuple(f"step {_above(n, k)}" for k in range(3)) if n >= WIDTH else (),
        )
        for n in range(size)
    ]


def _above(number: int, which: int) -> int:
    layer, place = divmod(number, WIDTH)
    return (layer - 1) * WIDTH + (place + which) % WIDTH


def _microseconds_a_step(api: Api, driver: Driver, size: int) -> float:
    directive = api.create(f"layers {size}", plan(size), start=False)
    began = time.monotonic_ns()
    api.start(directive)
    seen = driver.collect(size + 1)
    return (max(s.acknowledged for s in seen if s.name != "deliver") - began) / 1e3 / size
