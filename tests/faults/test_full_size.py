"""Faults at their full size, on a cluster with the times that people have, and more slots."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, LiteralString

import httpx
import pytest

from services.daemon.reports.journal import Recorded
from tests.conftest import git
from tests.faults.conftest import Faulty, second_instances, up
from tests.faults.fans import await_running, begin_each, completed
from tests.nothing_lost import assert_nothing_lost, rows
from tests.postgres import home
from tests.waiting import until

pytestmark = pytest.mark.long
FROZEN_SECONDS = 60
MANY = 100
PEOPLE = 8
ATTEMPTS: LiteralString = """
    SELECT t.directive_id::text AS directive, t.id::text AS task, t.name, a.number, a.daemon, a.outcome, a.reason,
           a.branch, s.branch AS of_step
      FROM makima.attempt a JOIN makima.task t ON t.id = a.task_id JOIN makima.step s ON s.id = t.step_id
     ORDER BY t.id, a.number"""
DOUBLED: dict[str, LiteralString] = {
    "a step with more or less than one task": """
        SELECT s.id FROM makima.step s LEFT JOIN makima.task t ON t.step_id = s.id
         GROUP BY s.id HAVING count(t.id) <> 1""",
    "a task with more or less than one attempt, or one that did not succeed": """
        SELECT t.id, array_agg(a.outcome) FROM makima.task t LEFT JOIN makima.attempt a ON a.task_id = t.id
         WHERE t.kind IN ('step', 'completion') GROUP BY t.id
        HAVING count(a.number) <> 1 OR bool_or(a.outcome IS DISTINCT FROM 'succeeded')""",
    "a directive with more or less than one delivery": """
        SELECT d.id FROM makima.directive d LEFT JOIN makima.task t ON t.directive_id = d.id AND t.kind = 'completion'
         GROUP BY d.id HAVING count(t.id) <> 1""",
}


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Faulty]:
    """Two daemons of 16 slots, for one test: what has run is looked at as a whole."""
    with home() as folder, up(folder, tmp_path, slots="16") as running:
        yield running


def attempts(faulty: Faulty, directive: str) -> list[dict[str, Any]]:
    """All attempts at a directive's steps."""
    return [row for row in rows(faulty, ATTEMPTS) if row["directive"] == directive]


def waiting_for(sign: Path) -> str:
    """A script that waits for a file."""
    return f"until [ -e {shlex.quote(str(sign))} ]; do sleep 1; done"


def test_a_broker_that_dies_under_32_tasks_stops_none_and_dispatch_goes_on(faulty: Faulty, origin: Path) -> None:
    """Half of them end while it is away, half when it is back; then comes a step that had not begun."""
    meanwhile, later = origin.parent / "meanwhile", origin.parent / "later"
    scripts = {f"step {n}": f"{waiting_for((meanwhile, later)[n % 2])}; echo {n} > {n}.txt" for n in range(32)}
    directive = begin_each(faulty, origin, scripts)
    await_running(faulty, 32)
    daemons = {name: faulty.process(name) for name in ("daemon-1", "daemon-2")}
    dead = faulty.kill("broker")
    meanwhile.touch()
    until(lambda: faulty.process("broker") != dead, "the broker is back")
    ended = "SELECT FROM makima.task WHERE status = 'completed'"
    until(lambda: len(rows(faulty, ended)) >= 16, "the reports of those that ended meanwhile arrive")
    later.touch()
    completed(faulty, directive)
    mine = attempts(faulty, directive)
    assert len(mine) == 33
    assert {(a["number"], a["outcome"], a["reason"]) for a in mine} == {(1, "succeeded", None)}
    assert {name: faulty.process(name) for name in daemons} == daemons
    assert_nothing_lost(faulty)


def hold_first_push(origin: Path, go: Path) -> Path:
    """Let the first push to a repository wait for a sign; where its branch will be named."""
    held = origin.parent / "held"
    hook = origin / "hooks" / "pre-receive"
    held_, go_ = shlex.quote(str(held)), shlex.quote(str(go))
    hook.write_text(
        f"#!/bin/sh\nmkdir {held_} 2>/dev/null || exit 0\n"
        f"read old new ref; echo $ref > {held_}/draft; mv {held_}/draft {held_}/ref\n"
        f"until [ -e {go_} ]; do sleep 0.2; done\n"
    )
    hook.chmod(0o755)
    return held / "ref"


def told(faulty: Faulty, daemon: str) -> set[tuple[str, int]]:
    """The attempts of which a daemon was told that they are not its own."""
    lines = (faulty.home / "logs" / f"{daemon}.log").read_text().splitlines()
    said = [json.loads(line) for line in lines if '"not ours any more"' in line]
    return {(line["task"], line["attempt"]) for line in said}


def test_a_daemon_frozen_for_a_minute_changes_nothing_when_it_is_back(faulty: Faulty, origin: Path) -> None:
    """It stands still in the midst of a push, which so comes when all has long been done elsewhere."""
    go, finish = origin.parent / "go", origin.parent / "finish"
    pushed = hold_first_push(origin, go)
    said = "echo $MAKIMA_ATTEMPT"
    scripts = {f"step {n}": f"{waiting_for(finish)}; {said} > {n}.txt" for n in range(6)}
    directive = begin_each(faulty, origin, {"first": f"{said} > first.txt", **scripts})
    until(pushed.exists, "the first push waits")
    await_running(faulty, 7)
    late = pushed.read_text().strip().removeprefix("refs/heads/")
    (first,) = [a for a in attempts(faulty, directive) if a["branch"] == late]
    frozen = first["daemon"]
    (other,) = {"daemon-1", "daemon-2"} - {frozen}
    process, since = faulty.process(frozen), time.monotonic()
    os.kill(process, signal.SIGSTOP)
    try:
        finish.touch()
        completed(faulty, directive)
        until(lambda: time.monotonic() - since >= FROZEN_SECONDS, "a minute has gone by", FROZEN_SECONDS * 2)
        delivered = faulty.show(directive)["pr_branch"]
        before = git(origin, "rev-parse", delivered)
        go.touch()
        until(lambda: late in git(origin, "branch", "--format=%(refname:short)").splitlines(), "the late push")
    finally:
        os.kill(process, signal.SIGCONT)

    mine = attempts(faulty, directive)
    lost = {(a["task"], a["number"]) for a in mine if a["outcome"] == "lost"}
    assert (first["task"], 1) in lost
    assert {a["daemon"] for a in mine if a["outcome"] == "lost"} == {frozen}
    effective = {a["name"]: a for a in mine if a["outcome"] == "succeeded"}
    assert {a["daemon"] for a in effective.values()} == {other}
    assert all(a["branch"] == a["of_step"] for a in effective.values())

    until(lambda: lost <= told(faulty, frozen), "it is told that they are not its own")
    journal = faulty.home / "daemons" / frozen / "journal"
    until(lambda: not Recorded(journal).unacknowledged and not Recorded(journal).in_hand, "its journal is empty")
    until(lambda: _connected(faulty, frozen), "it is connected again")
    assert faulty.process(frozen) == process, "it was not started anew"

    assert attempts(faulty, directive) == mine
    assert git(origin, "rev-parse", delivered) == before
    assert _is_apart(origin, late, delivered)
    for name, attempt in effective.items():
        if name != "join":
            file = f"{name.removeprefix('step ')}.txt"
            assert git(origin, "show", f"{delivered}:{file}") == str(attempt["number"])
    assert_nothing_lost(faulty)


def _connected(faulty: Faulty, daemon: str) -> bool:
    return daemon in {row["name"] for row in rows(faulty, "SELECT name FROM makima.daemon WHERE connected")}


def _is_apart(origin: Path, branch: str, of: str) -> bool:
    """Whether a branch's last commit is not in another's history."""
    argv = ["git", "-C", str(origin), "merge-base", "--is-ancestor", branch, of]
    return subprocess.run(argv, check=False).returncode == 1


def test_two_of_every_service_do_a_hundred_directives_without_one_double_task(faulty: Faulty, origin: Path) -> None:
    with second_instances(faulty) as second:
        begin_many(faulty, origin, ports=(faulty.environment["MAKIMA_PORT"], str(second.port)))
        done = "SELECT FROM makima.directive WHERE status = 'completed'"
        until(lambda: len(rows(faulty, done)) == MANY, "all are completed", within_seconds=480)
    assert [what for what, statement in DOUBLED.items() if rows(faulty, statement)] == []
    assert_nothing_lost(faulty)


def begin_many(faulty: Faulty, origin: Path, ports: tuple[str, str]) -> None:
    """A hundred directives of 1 -> 2 -> 1, started at once over both gateways."""
    steps = [
        {"name": "first", "taskPlan": "echo 1 > first.txt"},
        {"name": "left", "taskPlan": "cp first.txt left.txt", "dependsOn": ["first"]},
        {"name": "right", "taskPlan": "cp first.txt right.txt", "dependsOn": ["first"]},
        {"name": "last", "taskPlan": "cat left.txt right.txt > last.txt", "dependsOn": ["left", "right"]},
    ]
    headers = {"Authorization": f"Bearer {(faulty.home / 'token').read_text().strip()}"}
    with httpx.Client(headers=headers, timeout=120) as client, ThreadPoolExecutor(PEOPLE) as people:

        def post(number: int, path: str, body: object = None) -> str:
            answer = client.post(f"http://127.0.0.1:{ports[number % 2]}/v1/directives{path}", json=body)
            assert answer.is_success, answer.text
            return str(answer.json().get("id"))

        def draft(number: int) -> str:
            made = {"title": f"Job {number}", "goal": "much", "repository_url": str(origin), "steps": steps}
            return post(number, "", made)

        drafts = list(people.map(draft, range(MANY)))
        list(people.map(lambda numbered: post(numbered[0], f"/{numbered[1]}/start"), enumerate(drafts)))
