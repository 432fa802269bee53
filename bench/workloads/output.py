"""W7: tasks that print all the time, while W1 runs beside them: no line is lost, and a hop hardly notices."""

from __future__ import annotations

import time

from bench.cluster import Cluster, cluster
from bench.daemon import Seen
from bench.figures import Figure, percentile
from bench.workloads import chain
from shared.domain.plans import PlannedStep

TASKS = 50
ALONE_SECONDS = 10.0


def run(scale: float) -> list[Figure]:
    """W7."""
    tasks, alone_seconds = max(round(TASKS * scale), 2), max(ALONE_SECONDS * scale, 1.0)
    with cluster() as running:
        driver, api = running.driver(), running.api()
        quiet = chain.measure(api, driver, scale)
        plan = [PlannedStep(name=f"chatter {n}", task_plan="true") for n in range(tasks)]
        api.create("chatter", plan, start=True)
        running.await_rows("SELECT FROM makima.task WHERE status = 'running' AND name LIKE 'chatter%%'", (), tasks)
        before, began = sum(running.cpu_seconds().values()), time.monotonic()
        time.sleep(alone_seconds)
        cores = (sum(running.cpu_seconds().values()) - before) / (time.monotonic() - began)
        noisy = chain.measure(api, driver, scale)
        driver.say("quiet")
        printed = [s for s in driver.collect(tasks + 1) if s.lines]
        lost = sum(s.lines for s in printed) - _stored(running, printed)
    return [
        Figure(name="lines printed", value=sum(s.lines for s in printed), unit="lines"),
        Figure(name="lines lost", value=lost, unit="lines", goal=0),
        Figure(
            name="hop p99, relative to silence", value=percentile(noisy, 99) / percentile(quiet, 99), unit="x", goal=2.0
        ),
        Figure(name="CPU of all processes", value=cores, unit="cores", goal=0.5),
    ]


def _stored(running: Cluster, printed: list[Seen]) -> int:
    """Lines in the database: those of the batches that follow one another without a gap."""
    with running.sql() as connection:
        row = connection.execute(
            "SELECT coalesce(sum(jsonb_array_length(events)), 0) FROM makima.task_output WHERE task_id = ANY (%s)",
            ([s.task for s in printed],),
        ).fetchone()
    assert row is not None
    return int(row[0])
