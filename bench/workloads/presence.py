"""W9: a thousand connected daemons with heartbeats: what the broker takes, and how long a command is on its way."""

from __future__ import annotations

import subprocess
import sys
import time

from bench.cluster import cluster
from bench.figures import Figure, percentile
from bench.workloads import chain

DAEMONS = 1_000
IDLE_SECONDS = 10.0


def run(scale: float) -> list[Figure]:
    """W9. The fleet has a slot a daemon, the one that answers has more: it is chosen from among them all."""
    number, idle_seconds = max(round(DAEMONS * scale), 2), max(IDLE_SECONDS * scale, 1.0)
    with cluster() as running:
        driver, api = running.driver(), running.api()
        fleet = subprocess.Popen(
            [sys.executable, "-m", "bench.fleet", str(number)], env=running.environment, stdin=subprocess.PIPE
        )
        try:
            running.await_rows("SELECT FROM makima.daemon WHERE connected", (), number + 1)
            time.sleep(min(idle_seconds, 3.0))
            before, began = running.cpu_seconds()["broker"], time.monotonic()
            time.sleep(idle_seconds)
            cores = (running.cpu_seconds()["broker"] - before) / (time.monotonic() - began)
            steps = max(round(chain.STEPS * scale), 3)
            api.create("chain", chain.plan(steps), start=True)
            routes = [s.routed_ms for s in driver.collect(steps + 1)]
        finally:
            assert fleet.stdin is not None
            fleet.stdin.close()
            fleet.wait(30)
    return [
        Figure(name=f"CPU of the broker with {number + 1:,} daemons", value=cores, unit="cores", goal=0.15),
        Figure(name="command sent to command received p50", value=percentile(routes, 50), unit="ms"),
        Figure(name="command sent to command received p99", value=percentile(routes, 99), unit="ms", goal=5.0),
    ]
