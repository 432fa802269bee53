"""W2 and W3: many steps at once. Steps a second from the request that starts them to the last durable end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from uuid import UUID

from bench.cluster import Api, Driver, cluster
from bench.figures import Figure, cpu_a_step
from shared.domain.plans import PlannedStep

ROUNDS = 3
SLOTS = 64
PEOPLE = 8
"""Connections to the gateway over which directives are started at once."""


def one_directive(scale: float) -> list[Figure]:
    """W2: 1 -> 1000 -> 1."""
    return _rates(scale, 1, max(round(1000 * scale), 2))


def many_directives(scale: float) -> list[Figure]:
    """W3: 100 directives of 1 -> 8 -> 1."""
    return _rates(scale, max(round(100 * scale), 2), 8)


def plan(width: int) -> list[PlannedStep]:
    """One step, `width` that depend on it, one that depends on them all."""
    middle = tuple(f"step {n}" for n in range(width))
    return [
        PlannedStep(name="first", task_plan="true"),
        *(PlannedStep(name=name, task_plan="true", depends_on=("first",)) for name in middle),
        PlannedStep(name="last", task_plan="true", depends_on=middle),
    ]


def _rates(scale: float, directives: int, width: int) -> list[Figure]:
    with cluster() as running:
        driver, apis = running.driver(SLOTS), [running.api() for _ in range(min(PEOPLE, directives))]
        round_of(apis, driver, directives, width)
        before, began = running.cpu_seconds(), time.monotonic()
        rates = [round_of(apis, driver, directives, width) for _ in range(max(round(ROUNDS * scale), 1))]
        steps = len(rates) * directives * (width + 2)
        took = time.monotonic() - began
        after = running.cpu_seconds()
    return [
        Figure(name="steps a second", value=median(rates), unit="/s", goal=5000, at_least=True),
        *cpu_a_step(before, after, steps),
        Figure(name="wall time with creation a step", value=took / steps * 1e6, unit="us"),
    ]


def round_of(apis: Sequence[Api], driver: Driver, directives: int, width: int) -> float:
    """Run so many directives of 1 -> width -> 1 to their ends, started over all connections at once; steps a second."""
    steps = directives * (width + 2)
    ids: list[UUID] = [apis[0].create(f"fan {n}", plan(width), start=False) for n in range(directives)]
    began = time.monotonic_ns()
    with ThreadPoolExecutor(len(apis)) as people:
        list(people.map(_start, apis, (ids[n :: len(apis)] for n in range(len(apis)))))
    seen = driver.collect(steps + directives)
    ended = max(s.acknowledged for s in seen if s.name != "deliver")
    return steps / ((ended - began) / 1e9)


def _start(api: Api, directives: Sequence[UUID]) -> None:
    for directive in directives:
        api.start(directive)
