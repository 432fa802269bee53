"""Directives of many steps that may all run at once, and one that joins them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.faults import jobs
from tests.faults.conftest import Faulty
from tests.nothing_lost import rows


def begin(faulty: Faulty, origin: Path, number: int, script: str) -> str:
    """A started fan of so many alike."""
    return begin_each(faulty, origin, {f"step {n}": f"{script}; echo {n} > {n}.txt" for n in range(number)})


def begin_each(faulty: Faulty, origin: Path, scripts: dict[str, str]) -> str:
    """A started fan of steps by name."""
    steps = [{"name": name, "taskPlan": script} for name, script in scripts.items()]
    join = {"name": "join", "taskPlan": "ls > all.txt", "dependsOn": list(scripts)}
    path = origin.parent / "fan.json"
    path.write_text(json.dumps([*steps, join]))
    return jobs.create(faulty, "--repo", str(origin), "--plan", str(path), "--max-parallel", "32")


def await_running(faulty: Faulty, number: int) -> None:
    """Wait until so many tasks run."""
    running = "SELECT count(*) AS tasks FROM makima.task WHERE status = 'running'"
    jobs.await_row(lambda: rows(faulty, running), lambda row: row["tasks"] >= number)


def completed(faulty: Faulty, directive: str) -> None:
    """Wait until a directive is."""
    jobs.await_status(faulty, directive, "completed", within_seconds=240)
