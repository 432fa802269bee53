"""What a daemon gives its agents, and when it takes no more work: as a person sets it, and is told of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cluster, git
from tests.waiting import until

DEADLINE_SECONDS = 60


@pytest.fixture(scope="module")
def lone(empty_home: Path) -> Iterator[Cluster]:
    """A cluster without a daemon, and with a sweep of an hour: nothing here may wait for one."""
    cluster = Cluster(empty_home, sweep_seconds="3600", heartbeat_seconds="0.3", max_attempts="1")
    cluster.makima("up", "--detach", "--daemons", "0")
    yield cluster
    cluster.makima("down")


@contextmanager
def daemon(cluster: Cluster, name: str, **settings: str) -> Iterator[None]:
    """A daemon with settings of its own."""
    named = {f"MAKIMA_{key.upper()}": value for key, value in settings.items()}
    environment = {**cluster.environment, "MAKIMA_DAEMON_NAME": name, **named}
    with (cluster.home / "logs" / f"{name}.log").open("ab") as log:
        argv = [sys.executable, "-m", "cli", "daemon", "run"]
        process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
    try:
        until(lambda: name in cluster.makima("daemon", "list"), "the daemon is connected")
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)
        until(lambda: not listed(cluster)[name]["connected"], "the daemon is gone")


def listed(cluster: Cluster) -> dict[str, Any]:
    return {d["name"]: d for d in json.loads(cluster.makima("daemon", "list", "-o", "json"))}


def start(cluster: Cluster, origin: Path, script: str, *more: str) -> str:
    """A directive of one step."""
    plan = origin.parent / "plan.json"
    plan.write_text(json.dumps([{"name": "Only", "taskPlan": script}]))
    arguments = ("--title", "A job", "--repo", str(origin), "--plan", str(plan), "--start", *more)
    return cluster.make("directive", "create", *arguments)


def only(cluster: Cluster, directive: str) -> dict[str, Any]:
    """Its one step, once the directive has stopped."""
    cluster.run("directive", "watch", directive, "--timeout", str(DEADLINE_SECONDS))
    step: dict[str, Any] = cluster.show(directive)["steps"][0]
    return step


def printed(cluster: Cluster, directive: str) -> str:
    """What the step's task printed."""
    step = only(cluster, directive)
    assert step["status"] == "completed", step
    return cluster.makima("task", "log", step["task_id"])


def test_a_drained_daemon_ends_what_it_has_and_gets_no_more_until_it_may(lone: Cluster, origin: Path) -> None:
    go_on = origin.parent / "go-on"
    with daemon(lone, "drained"):
        running = start(lone, origin, f"until test -e {go_on}; do sleep 0.05; done; echo done")
        until(lambda: lone.show(running)["steps"][0]["status"] == "running", "the step runs")
        lone.makima("daemon", "drain", "drained")
        until(lambda: listed(lone)["drained"]["draining"], "the daemon drains")
        assert "draining" in lone.makima("daemon", "list")
        waiting = start(lone, origin, "true")
        drains = "every connected daemon is drained: drained"
        until(lambda: drains in lone.makima("why", waiting), drains)
        go_on.touch()
        until(lambda: lone.show(running)["steps"][0]["status"] == "completed", "what it has ends")
        assert lone.show(waiting)["steps"][0]["status"] == "ready"
        lone.makima("daemon", "drain", "drained", "--off")
        assert only(lone, waiting)["status"] == "completed"


def test_a_daemon_short_of_memory_takes_no_more_and_why_says_so(lone: Cluster, origin: Path) -> None:
    with daemon(lone, "short", max_memory_percent="0.1"):
        until(lambda: listed(lone)["short"]["refuses"], "the daemon refuses work")
        directive = start(lone, origin, "true")
        full = "of its memory is in use, at most 0.1 %"
        until(lambda: full in lone.makima("why", directive), full)
    with daemon(lone, "short", max_memory_percent="100"):
        assert only(lone, directive)["status"] == "completed"


def test_an_agent_is_as_nice_as_the_settings_say(lone: Cluster, origin: Path) -> None:
    with daemon(lone, "nice", nice="7"):
        mine = os.nice(0)
        assert int(printed(lone, start(lone, origin, "nice"))) == min(mine + 7, 19)


def test_an_agent_that_takes_more_memory_than_it_may_is_ended_and_that_is_said(lone: Cluster, origin: Path) -> None:
    hog = f"sleep 300 | {sys.executable} -c 'x = bytes(1) * (300 << 20); input()'"
    with daemon(lone, "small", agent_memory_mib="100"):
        step = only(lone, start(lone, origin, hog, "--on-failure", "pause"))
    assert step["status"] == "failed" and "used more memory than it may" in step["reason"]


def test_the_kernel_holds_an_agent_to_its_limits(lone: Cluster, origin: Path) -> None:
    limits = {"open_files": 40, "file_mib": 3, "processes": 4000, "cpu_seconds": 50, "address_space_mib": 4096}
    with daemon(lone, "held", **{f"agent_{key}": str(value) for key, value in limits.items()}):
        said = printed(lone, start(lone, origin, "ulimit -n; ulimit -f; ulimit -u; ulimit -t; ulimit -v"))
        assert [int(line) for line in said.split()] == [40, 3 * 1024, 4000, 50, 4096 << 10]
        step = only(lone, start(lone, origin, "head -c 4M /dev/zero >large", "--on-failure", "pause"))
    assert step["status"] == "failed" and "SIGXFSZ" in step["reason"], step


def test_the_agent_of_the_repository_is_the_one_that_is_shown(lone: Cluster, origin: Path) -> None:
    clone = origin.parent / "clone"
    git(origin.parent, "clone", "-q", str(origin), str(clone))
    (clone / ".makima.toml").write_text('agent = "parrot"\n')
    for step in (("add", "."), ("commit", "-qm", "agent"), ("push", "-q", "origin", "HEAD")):
        git(clone, *step)
    config = origin.parent / "makima.toml"
    config.write_text('[agents.parrot]\nkind = "command"\ncommand = ["cat"]\n')
    with daemon(lone, "with-parrot", config=str(config)):
        step = only(lone, start(lone, origin, "echo say this"))
        assert step["status"] == "completed"
        shown = json.loads(lone.makima("task", "show", step["task_id"], "-o", "json"))
        assert shown["agent"] == "parrot" and shown["attempts"][0]["agent"] == "parrot"
        assert "echo say this" in lone.makima("task", "log", step["task_id"])
        chosen = start(lone, origin, "echo as chosen", "--agent", "shell")
        assert printed(lone, chosen).strip() == "as chosen"
