"""Work on several daemons: shared, near to what it builds on, taken over, and waiting in words where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cluster, git
from tests.postgres import home
from tests.waiting import until

DEADLINE_SECONDS = 60


@pytest.fixture(scope="module")
def lone(empty_home: Path) -> Iterator[Cluster]:
    """A cluster without a daemon, and with a sweep of an hour: nothing here may wait for one."""
    cluster = Cluster(empty_home, sweep_seconds="3600")
    cluster.makima("up", "--detach", "--daemons", "0")
    yield cluster
    cluster.makima("down")


@pytest.fixture
def deaf() -> Iterator[Cluster]:
    """A cluster in which no event ever arrives."""
    with home() as folder:
        cluster = Cluster(folder, sweep_seconds="0.3", drop_events="true")
        cluster.makima("up", "--detach", "--daemons", "1")
        yield cluster
        cluster.makima("down")


@contextmanager
def daemon(cluster: Cluster, name: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon of its own, connected; ended as a person ends it."""
    environment = {**cluster.environment, **settings, "MAKIMA_DAEMON_NAME": name}
    argv = [sys.executable, "-m", "cli", "daemon", "run"]
    with (cluster.home / "logs" / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
    try:
        until(lambda: connected(cluster).get(name, False), "the daemon is connected")
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)
        until(lambda: not connected(cluster).get(name, False), "the daemon is gone")


def connected(cluster: Cluster) -> dict[str, bool]:
    return {d["name"]: d["connected"] for d in json.loads(cluster.makima("daemon", "list", "-o", "json"))}


def create(cluster: Cluster, origin: Path, steps: list[dict[str, Any]]) -> str:
    plan = origin.parent / "plan.json"
    plan.write_text(json.dumps(steps))
    arguments = ("--title", "A job", "--repo", str(origin), "--plan", str(plan), "--start")
    return cluster.make("directive", "create", *arguments)


def finish(cluster: Cluster, directive: str) -> dict[str, dict[str, Any]]:
    """The steps by name, once the directive is delivered."""
    cluster.makima("directive", "watch", directive, "--timeout", str(DEADLINE_SECONDS))
    return {s["name"]: s for s in cluster.show(directive)["steps"]}


def test_a_daemon_needs_nothing_of_the_services_home_but_the_sockets(lone: Cluster, origin: Path) -> None:
    """As a container it has a home of its own; the services', with the signing secret, is not there."""
    sockets = {"MAKIMA_RUN": str(lone.home / "run"), "MAKIMA_POSTGRES_URL": ""}
    script = 'test -S "${MAKIMA_API_URL#unix://}" && echo found >found.txt'
    with home() as own, daemon(lone, "apart", MAKIMA_HOME=str(own), **sockets):
        steps = finish(lone, create(lone, origin, [{"name": "Look", "taskPlan": script}]))
        assert steps["Look"]["status"] == "completed"
        assert [path.name for path in own.iterdir()] == ["daemons"]


def test_without_a_daemon_tasks_wait_in_words_and_go_out_when_one_comes(lone: Cluster, origin: Path) -> None:
    directive = create(lone, origin, [{"name": "Wait", "taskPlan": "true"}])
    until(
        lambda: "no daemon is connected" in lone.makima("why", directive),
        lambda: lone.makima("why", directive),
    )
    with daemon(lone, "late"):
        assert finish(lone, directive)["Wait"]["daemon"] == "late"


def test_two_daemons_share_the_work_and_a_step_stays_with_what_it_builds_on(lone: Cluster, origin: Path) -> None:
    chains = [[{"name": f"{c}{n}", "dependsOn": [f"{c}{n - 1}"] if n else []} for n in range(3)] for c in "abcd"]
    steps = [{**step, "taskPlan": f"sleep 0.3; echo x > {step['name']}"} for chain in chains for step in chain]
    with daemon(lone, "east"), daemon(lone, "west"):
        done = finish(lone, create(lone, origin, steps))
    assert {step["daemon"] for step in done.values()} == {"east", "west"}
    for chain in "abcd":
        assert len({done[f"{chain}{n}"]["daemon"] for n in range(3)}) == 1, "a chain moved though its daemon was free"


def test_when_a_daemon_has_gone_the_other_goes_on_from_the_branch_that_it_pushed(lone: Cluster, origin: Path) -> None:
    with daemon(lone, "gone"):
        directive = create(lone, origin, [{"name": "First", "taskPlan": "echo first > first.txt"}])
        assert finish(lone, directive)["First"]["daemon"] == "gone"
    with daemon(lone, "heir"):
        lone.makima(
            "directive", "add-step", "Second", "--directive", directive, "--depends-on", "First",
            "--task-plan", "cat first.txt > second.txt",
        )  # fmt: skip
        lone.await_status(directive, "completed", DEADLINE_SECONDS)
        second = finish(lone, directive)["Second"]
    assert second["daemon"] == "heir"
    assert git(origin, "show", f"{lone.show(directive)['pr_branch']}:second.txt") == "first"


def test_a_step_sees_the_files_of_all_that_it_depends_on(lone: Cluster, origin: Path) -> None:
    parts = [{"name": n, "taskPlan": f"echo {n} > {n}.txt"} for n in ("one", "two", "three")]
    joined = {"name": "Join", "taskPlan": "ls *.txt > seen", "dependsOn": ["one", "two", "three"]}
    with daemon(lone, "only"):
        directive = create(lone, origin, [*parts, joined])
        finish(lone, directive)
        delivered = lone.show(directive)["pr_branch"]
    assert git(origin, "show", f"{delivered}:seen").split() == ["one.txt", "three.txt", "two.txt"]


def test_a_step_without_dependencies_starts_from_the_last_completed_one(lone: Cluster, origin: Path) -> None:
    steps = [
        {"name": "Early", "taskPlan": "echo early > early.txt"},
        {"name": "Later", "taskPlan": "cp early.txt later.txt", "orderIndex": 1},
    ]
    with daemon(lone, "only"):
        directive = create(lone, origin, steps)
        finish(lone, directive)
        delivered = lone.show(directive)["pr_branch"]
    later = git(origin, "log", "--no-merges", "-1", "--format=%H", delivered, "--", "later.txt")
    assert git(origin, "show", "--name-only", "--format=", f"{later}^") == "early.txt"
    assert f"refs/heads/{delivered}" in git(origin, "for-each-ref", "--format=%(refname)")


def test_with_every_event_dropped_a_job_still_ends_at_the_sweeps_speed(deaf: Cluster, origin: Path) -> None:
    steps = [{"name": "a", "taskPlan": "echo a > a"}, {"name": "b", "taskPlan": "cat a > b", "dependsOn": ["a"]}]
    done = finish(deaf, create(deaf, origin, steps))
    assert {s["status"] for s in done.values()} == {"completed"}
