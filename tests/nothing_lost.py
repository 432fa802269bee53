"""The closing conditions of every fault: what must hold of a cluster once the fault is over and its work has ended."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from shared.config import load
from simulation.replay import DIRECTIVES, EVENTS, STEPS, TASKS, differences, replay, standing
from tests.conftest import Cluster, git
from tests.waiting import until

CONDITIONS: dict[str, LiteralString] = {
    "a directive that goes on and on": """
        SELECT id, status, pause_reason FROM makima.directive WHERE status IN ('active', 'idle')""",
    "a task that nothing will ever move on": """
        SELECT t.id, t.status, d.status AS directive FROM makima.task t JOIN makima.directive d ON d.id = t.directive_id
         WHERE t.status IN ('pending', 'starting', 'running', 'paused') AND d.status NOT IN ('paused', 'archived')""",
    "a task on a daemon without a lease": """
        SELECT id FROM makima.task WHERE status IN ('starting', 'running', 'paused') AND lease_until IS NULL""",
    "a completed directive with a step left over": """
        SELECT s.id, s.name, s.status FROM makima.step s JOIN makima.directive d ON d.id = s.directive_id
         WHERE d.status = 'completed' AND (s.status NOT IN ('completed', 'skipped') OR s.held_by IS NOT NULL
            OR s.status = 'completed' AND NOT s.delivered)""",
    "a completed step without exactly one effective attempt": """
        SELECT s.id, s.name, count(a.number) AS attempts FROM makima.step s
          LEFT JOIN makima.task t ON t.step_id = s.id
          LEFT JOIN makima.attempt a ON a.task_id = t.id AND a.outcome = 'succeeded'
         WHERE s.status = 'completed' GROUP BY s.id HAVING count(a.number) <> 1""",
    "a step whose branch is not its effective attempt's": """
        SELECT s.id, s.branch, a.branch AS attempts FROM makima.step s
          JOIN makima.task t ON t.step_id = s.id
          JOIN makima.attempt a ON a.task_id = t.id AND a.outcome = 'succeeded'
         WHERE s.status = 'completed' AND s.branch IS DISTINCT FROM a.branch""",
    "an ended task with an attempt left open": """
        SELECT t.id, a.number FROM makima.task t JOIN makima.attempt a ON a.task_id = t.id
         WHERE a.ended_at IS NULL AND (t.status IN ('completed', 'failed', 'cancelled') OR a.number < t.attempt)""",
    "a plan request of a completed directive that nobody served": """
        SELECT r.id FROM makima.plan_request r JOIN makima.directive d ON d.id = r.directive_id
         WHERE d.status = 'completed' AND r.served_by IS NULL""",
    "output lost in the middle": """
        SELECT task_id, attempt, first_seq, before FROM (
            SELECT o.task_id, o.attempt, o.first_seq, lag(o.last_seq, 1, -1) OVER w AS before FROM makima.task_output o
              JOIN makima.attempt a ON a.task_id = o.task_id AND a.number = o.attempt AND a.outcome = 'succeeded'
            WINDOW w AS (PARTITION BY o.task_id, o.attempt ORDER BY o.first_seq)) AS output
         WHERE first_seq <> before + 1""",
}
"""Statements that return a row for each breach."""


_connections: dict[str, psycopg.Connection[dict[str, Any]]] = {}
"""Kept by address: tests look many times a second, and each connection is a process of the server's."""


def rows(cluster: Cluster, statement: LiteralString) -> list[dict[str, Any]]:
    """What a statement returns of the cluster's database, once that answers: it may be one of the faults."""
    url = load(cluster.environment).postgres()
    deadline = time.monotonic() + 60
    while True:
        try:
            if url not in _connections:
                _connections[url] = psycopg.connect(url, autocommit=True, row_factory=dict_row, connect_timeout=20)
            return _connections[url].execute(statement).fetchall()
        except psycopg.OperationalError:
            if (broken := _connections.pop(url, None)) is not None:
                broken.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def await_rest(cluster: Cluster, within_seconds: float = 60) -> None:
    """Wait until no directive is active or idle."""
    _await(lambda: _breaches(cluster, "a directive that goes on and on"), within_seconds)


def assert_nothing_lost(cluster: Cluster, within_seconds: float = 60) -> None:
    """Every closing condition, once the work has come to its rest."""
    await_rest(cluster, within_seconds)
    for what in CONDITIONS:
        assert not _breaches(cluster, what), what
    _assert_log_replays(cluster)
    _assert_delivered_once(cluster)
    _await(lambda: _orphans(cluster), 15)
    _await(lambda: _worktrees(cluster), 15)


def _breaches(cluster: Cluster, what: str) -> list[str]:
    return [f"{what}: {row}" for row in rows(cluster, CONDITIONS[what])]


def _assert_log_replays(cluster: Cluster) -> None:
    """The audit log comes to the same state as the tables, once what was given up has come to its end."""

    def differ() -> list[str]:
        tables = standing(rows(cluster, DIRECTIVES), rows(cluster, STEPS), rows(cluster, TASKS))
        return [str(one) for one in differences(replay(rows(cluster, EVENTS)), tables)]

    _await(differ, 15)


def _assert_delivered_once(cluster: Cluster) -> None:
    """Each completed step's commit is in the delivered branch exactly once."""
    delivered = rows(
        cluster,
        """SELECT d.repository_url AS origin, d.pr_branch AS branch, array_agg(s.task_id::text) AS tasks
             FROM makima.directive d JOIN makima.step s ON s.directive_id = d.id AND s.status = 'completed'
            WHERE d.pr_branch IS NOT NULL AND d.delivered_at IS NOT NULL GROUP BY d.id""",
    )
    for row in delivered:
        if not Path(row["origin"]).exists():
            continue  # another test's, whose folder is gone
        trailer = "--format=%(trailers:key=Makima-Task,valueonly,separator=%x2C)"
        log = git(Path(row["origin"]), "log", "--no-merges", trailer, row["branch"])
        counted = Counter(line.strip() for line in log.splitlines() if line.strip())
        assert {t: counted[t] for t in row["tasks"]} == {t: 1 for t in row["tasks"]}, row["branch"]


def _orphans(cluster: Cluster) -> list[str]:
    """Agents' processes of this cluster that no live task owns."""
    live = {str(row["id"]) for row in rows(cluster, "SELECT id FROM makima.task WHERE status IN ('running', 'paused')")}
    mark = f"MAKIMA_API_URL=unix://{load(cluster.environment).gateway_socket()}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # gone, or another user's
        task = next((v.partition(b"=")[2].decode() for v in variables if v.startswith(b"MAKIMA_TASK_ID=")), None)
        if mark in variables and task is not None and task not in live and int(process.name) != os.getpid():
            found.append(f"process {process.name} of task {task}")
    return found


def _worktrees(cluster: Cluster) -> list[str]:
    """Worktrees that no live task owns."""
    if rows(cluster, "SELECT FROM makima.task WHERE status IN ('starting', 'running', 'paused')"):
        return []
    return [str(p) for p in cluster.home.glob("daemons/*/worktrees/*")]


def _await(left: Callable[[], list[str]], within_seconds: float) -> None:
    until(lambda: not left(), left, within_seconds)
