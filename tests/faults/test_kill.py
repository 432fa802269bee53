"""kill -9 of one service in the middle of a directive: it is started again, and the directive ends right."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cluster, git
from tests.faults import jobs
from tests.sampled import sampled

SERVICES = ("broker", "planner", "executor", "monitor", "completer", "gateway", "daemon-1", "postgres")


def process(cluster: Cluster, name: str) -> int:
    state = json.loads((cluster.home / "run" / "cluster.json").read_text())
    return int(state["processes"][name])


@pytest.mark.parametrize("victim", sampled(SERVICES, ("completer", "daemon-1", "postgres")))
def test_a_killed_service_costs_nothing_but_time(cluster: Cluster, origin: Path, victim: str) -> None:
    goal = (ROOT / "examples" / "goal.md").read_text()
    arguments = ["directive", "create", "--title", "A job", "--start", "--repo", str(origin), "--goal", goal]
    directive = cluster.make(*arguments)
    argv = [sys.executable, "-m", "cli", "directive", "watch", directive]
    watching = subprocess.Popen(argv, env=cluster.environment, stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    for line in watching.stdout:
        if "step Build the back running" in line:
            break
    watching.kill()
    watching.wait()
    os.kill(process(cluster, victim), signal.SIGKILL)
    jobs.await_status(cluster, directive, "completed")
    shown = json.loads(jobs.persist(cluster, "directive", "show", directive, "-o", "json"))
    subjects = git(origin, "log", "--no-merges", "--format=%s", shown["pr_branch"]).splitlines()
    assert sorted(subjects) == sorted([*(s["name"] for s in shown["steps"]), "start"])
