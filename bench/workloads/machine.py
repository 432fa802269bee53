"""W10: what the cluster itself costs: to start, in memory, when idle; and one command of its command line."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from bench.cluster import Cluster, cluster
from bench.figures import Figure
from shared.domain.plans import PlannedStep

COMMANDS = 7
IDLE_SECONDS = 20.0
SETTLE_SECONDS = 5.0


def run(scale: float) -> list[Figure]:
    """W10. From nothing: the database is made anew."""
    with cluster(daemons=1) as running:
        command = statistics.median(_add_step(running, n) for n in range(max(round(COMMANDS * scale), 2)))
        time.sleep(SETTLE_SECONDS * scale)
        before, began = sum(running.cpu_seconds().values()), time.monotonic()
        time.sleep(IDLE_SECONDS * scale)
        idle = (sum(running.cpu_seconds().values()) - before) / (time.monotonic() - began)
        memory = {
            name: p.memory_full_info().pss / 2**20 for name, p in running.processes().items() if name != "postgres"
        }
    largest = max(memory, key=lambda name: memory[name])
    return [
        Figure(name="up, from nothing", value=running.ready_seconds, unit="s", goal=5.0),
        Figure(name="makima directive add-step", value=command, unit="ms", goal=150.0),
        Figure(
            name=f"memory of the largest service ({largest}, proportional)",
            value=memory[largest],
            unit="MiB",
            goal=60.0,
        ),
        Figure(name="memory of all services together", value=sum(memory.values()), unit="MiB"),
        Figure(name="idle CPU of all, Postgres included", value=idle * 100, unit="% of a core", goal=1.0),
    ]


def _add_step(running: Cluster, number: int) -> float:
    directive = running.api().create("draft", [PlannedStep(name="first")], start=False)
    argv = [sys.executable, "-m", "cli", "directive", "add-step", f"step {number}", "--directive", str(directive)]
    began = time.monotonic()
    subprocess.run([*argv, "--task-plan", "true"], env=running.environment, check=True, capture_output=True)
    return (time.monotonic() - began) * 1000
