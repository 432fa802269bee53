"""W11: W3 with two of every service, beside W3 with one; in turns, on one cluster."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench.cluster import Api, Cluster, Driver, cluster
from bench.figures import Figure
from bench.second import second_instances
from bench.workloads.fan import PEOPLE, SLOTS, round_of

TURNS = 5
WIDTH = 8


def run(scale: float) -> list[Figure]:
    """Steps a second with one and with two of each, and their ratio. The goal: a second one costs nothing."""
    directives = max(round(100 * scale), 2)
    with cluster() as running:
        driver = running.driver(SLOTS)
        apis = [running.api() for _ in range(min(PEOPLE, directives))]
        turns = [
            (_rate(apis, driver, directives), _rate_of_two(running, apis, driver, directives))
            for _ in range(max(round(TURNS * scale), 1))
        ]
    alone, doubled = (median(rates) for rates in zip(*turns, strict=True))
    return [
        Figure(name="steps a second with one of every service", value=alone, unit="/s"),
        Figure(name="steps a second with two of every service but the broker", value=doubled, unit="/s"),
        Figure(name="two, relative to one", value=doubled / alone, unit="x", goal=1.0, at_least=True),
    ]


def _rate_of_two(running: Cluster, apis: Sequence[Api], driver: Driver, directives: int) -> float:
    """With second instances, half of the connections to their gateway."""
    with second_instances(running.environment, running.home / "logs" / "second.log") as second:
        half = len(apis) // 2
        others = [running.api(second.port) for _ in apis[half:]]
        return _rate([*apis[:half], *others], driver, directives)


def _rate(apis: Sequence[Api], driver: Driver, directives: int) -> float:
    """Of the second of two rounds: in the first, what has just started is still cold."""
    round_of(apis, driver, directives, WIDTH)
    return round_of(apis, driver, directives, WIDTH)
