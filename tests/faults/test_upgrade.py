"""A database of the version before, with work in flight, is brought up to date when the cluster starts, and goes on."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from shared.store.migrate import revert
from tests.faults import jobs
from tests.faults.conftest import Server, quick
from tests.nothing_lost import assert_nothing_lost, rows
from tests.postgres import home
from tests.waiting import until


def test_an_older_database_with_work_in_flight_is_migrated_and_goes_on(
    origin: Path, empty_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with home() as folder:
        server = Server(folder)
        server.start()
        points = tmp_path_factory.mktemp("failpoints")
        try:
            with quick(empty_home, points, postgres_url=server.url) as cluster:
                path = origin.parent / "steps.json"
                steps = [{"name": f"step {n}", "taskPlan": f"sleep 1; echo {n} > {n}.txt"} for n in range(4)]
                path.write_text(json.dumps(steps))
                directive = jobs.create(cluster, "--repo", str(origin), "--plan", str(path), "--max-parallel", "2")
                until(lambda: rows(cluster, "SELECT FROM makima.task WHERE status = 'running'"), "a running task")
            last = rows(cluster, "SELECT max(number) AS number FROM public.makima_migration")[0]["number"]
            assert len(revert(server.url, to=last - 1)) == 1
            cluster.makima("up", "--detach", "--daemons", "2")
            try:
                jobs.await_status(cluster, directive, "completed", within_seconds=90)
                assert rows(cluster, "SELECT max(number) AS number FROM public.makima_migration")[0]["number"] == last
                assert_nothing_lost(cluster)
            finally:
                cluster.makima("down")
        finally:
            server.stop(signal.SIGINT)
