"""Jobs that a fault meets in their middle: between them they pass every place that commits or sends."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID

import httpx

from tests.conftest import Cluster
from tests.nothing_lost import rows
from tests.waiting import until

GOAL = """Three words, one of them at the second attempt.

```sh
makima directive batch-add-steps --json - <<'END'
[
  {"name": "one", "taskPlan": "echo one > one.txt"},
  {"name": "two", "taskPlan": "cat one.txt; echo two > two.txt", "dependsOn": ["one"]},
  {"name": "three", "taskPlan": "test -e TRIED || { touch TRIED; exit 1; }; echo three > three.txt",
   "dependsOn": ["one"]},
  {"name": "four", "taskPlan": "cat two.txt three.txt > four.txt", "dependsOn": ["two", "three"]}
]
END
spare=$(makima directive add-step spare --task-plan 'exit 1' -o json | sed -n 's/.*"id": *"\\([^"]*\\)".*/\\1/p')
makima directive remove-step "$spare"
```
"""

NOBODY = UUID(int=0)
DIRECTIVES: LiteralString = "SELECT id, status, pause_reason FROM makima.directive"
TASKS: LiteralString = "SELECT id, directive_id, status, waiting_reason, attempt, daemon FROM makima.task"
FAILED: LiteralString = """
    SELECT t.directive_id FROM makima.attempt a JOIN makima.task t ON t.id = a.task_id WHERE a.outcome = 'failed'"""

PLANS: LiteralString = """
    SELECT t.directive_id, d.status, count(*) AS planned
      FROM makima.task t JOIN makima.directive d ON d.id = t.directive_id
     WHERE t.kind = 'plan' AND t.status = 'completed' GROUP BY t.directive_id, d.status"""


def persist(cluster: Cluster, *arguments: str, within_seconds: float = 40) -> str:
    """Run a command until it succeeds, as a person does whose gateway is away for a moment; its output."""
    argv, said = [sys.executable, "-m", "cli", *arguments], ""

    def succeeds() -> subprocess.CompletedProcess[str] | None:
        nonlocal said
        done = subprocess.run(argv, env=cluster.environment, capture_output=True, text=True, check=False)
        said = done.stderr
        return done if done.returncode == 0 else None

    return until(succeeds, lambda: said, within_seconds).stdout.strip()


def make(cluster: Cluster, *arguments: str) -> str:
    """The id of what a command makes."""
    made: str = json.loads(persist(cluster, *arguments, "-o", "json"))["id"]
    return made


def create(cluster: Cluster, *arguments: str) -> str:
    """A started directive's id."""
    return make(cluster, "directive", "create", "--title", "A job", "--start", *arguments)


def deliver(cluster: Cluster, origin: Path, within_seconds: float = 60) -> None:
    """Planned on a daemon, one step failing at first, delivered."""
    tried = origin.parent / "tried"
    goal = GOAL.replace("TRIED", str(tried))
    directive = create(cluster, "--repo", str(origin), "--goal", goal)
    await_status(cluster, directive, "completed", within_seconds)


def cancel(cluster: Cluster, origin: Path) -> None:
    """A running step cancelled by a person."""
    directive = create(cluster, "--repo", str(origin), "--plan", plan(origin, "sleep 300"), "--on-failure", "pause")
    running = _task(cluster, directive, lambda row: row["status"] == "running")
    _insist(cluster, "task", "cancel", str(running["id"]))
    _task(cluster, directive, lambda row: row["status"] == "cancelled")


def wait_in_vain(cluster: Cluster, origin: Path) -> None:
    """A step that asks for an agent that no daemon has, until a person gives it up."""
    directive = create(cluster, "--repo", str(origin), "--plan", plan(origin, "true"), "--agent", "codex")
    _task(cluster, directive, lambda row: row["waiting_reason"] is not None)
    persist(cluster, "directive", "archive", directive)


def plan(origin: Path, script: str) -> str:
    """A plan file of one step."""
    path = origin.parent / "plan.json"
    path.write_text(json.dumps([{"name": "only", "taskPlan": script}]))
    return str(path)


def _task(cluster: Cluster, directive: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    return await_row(lambda: [r for r in rows(cluster, TASKS) if str(r["directive_id"]) == directive], wanted)


def await_row(
    found: Callable[[], list[dict[str, Any]]],
    wanted: Callable[[dict[str, Any]], bool],
    within_seconds: float = 60,
) -> dict[str, Any]:
    """Wait for a row as wanted; it."""
    return until(lambda: next((row for row in found() if wanted(row)), None), found, within_seconds)


def steer(cluster: Cluster, origin: Path) -> None:
    """A draft that a person changes in every way there is before giving it up."""
    made = make(
        cluster,
        "directive",
        "create",
        "--title",
        "A draft",
        "--repo",
        str(origin),
        "--plan",
        plan(origin, "true"),
    )
    order = make(cluster, "order", "add", "More")
    step = cluster_steps(cluster, made)[0]
    for words in (
        ("order", "link", order, made),
        ("order", "cancel", order),
        ("directive", "goal", made, "Another goal"),
        ("directive", "update", made, "--max-parallel", "2"),
        ("directive", "edit-step", step, "--directive", made, "--label", "gpu"),
        ("directive", "skip-step", step, "--directive", made),
        ("directive", "archive", made),
    ):
        _insist(cluster, *words)


def converse(cluster: Cluster, origin: Path) -> None:
    """A step that asks a person, who answers, tells it something, and drains a daemon; and one that gives up.

    What a script is told lets it run once more.
    """
    asking = plan(origin, 'test -s colour.txt || makima ask "Which colour?" > colour.txt')
    directive = create(cluster, "--repo", str(origin), "--plan", asking)
    task = _task(cluster, directive, lambda row: row["status"] == "paused")
    _insist(cluster, "task", "tell", str(task["id"]), "not red")
    _insist(cluster, "daemon", "drain", "daemon-2")
    _insist(cluster, "daemon", "drain", "daemon-2", "--off")
    _answer_until_completed(cluster, directive)
    _insist(cluster, "directive", "update", directive, "--status", "completed")
    giving_up = plan(origin, "makima fail 'no paint here'")
    directive = create(cluster, "--repo", str(origin), "--plan", giving_up, "--on-failure", "pause")
    await_row(lambda: rows(cluster, FAILED), lambda row: str(row["directive_id"]) == directive)
    _insist(cluster, "directive", "archive", directive)  # without waiting for all its attempts to give up


def let_in(cluster: Cluster, origin: Path) -> None:  # noqa: ARG001
    """An owner is made and limited; a member gets a token, uses it, loses it, and is removed."""
    _insist(cluster, "owner", "create", "red")
    _insist(cluster, "owner", "set", "red", "--max-running", "3")
    _insist(cluster, "member", "add", "ada", "--owner", "red", "--role", "operator")
    told = json.loads(persist(cluster, "token", "create", "laptop", "--person", "ada", "--owner", "red", "-o", "json"))
    address = f"http://127.0.0.1:{cluster.environment['MAKIMA_PORT']}"
    for _ in range(3):  # when a token is used is kept beside the requests, and with a later one where that fails
        with suppress(httpx.HTTPError):
            httpx.get(f"{address}/v1/me", headers={"Authorization": f"Bearer {told['token']}"})
        time.sleep(0.5)
    _insist(cluster, "token", "revoke", told["id"], "--owner", "red")
    _insist(cluster, "member", "remove", "ada", "--owner", "red")


def _answer_until_completed(cluster: Cluster, directive: str) -> None:
    """Answer whatever a directive asks: an attempt that failed in asking asks again."""

    def completed() -> bool:
        for asked in rows(cluster, "SELECT id, directive_id FROM makima.question WHERE settled IS NULL"):
            if str(asked["directive_id"]) == directive:
                cluster.run("answer", str(asked["id"]), "blue")
        return any(str(r["id"]) == directive and r["status"] == "completed" for r in rows(cluster, DIRECTIVES))

    until(completed, lambda: rows(cluster, TASKS))


def approve(cluster: Cluster, origin: Path) -> None:
    """A plan rejected, the next one approved and delivered; then an order picked up, and a new plan asked for."""
    goal = '```sh\nmakima directive add-step "step of $MAKIMA_TASK_ID" --task-plan "echo done > done.txt"\n```'
    directive = create(cluster, "--repo", str(origin), "--goal", goal, "--approve-plan")
    await_status(cluster, directive, "awaiting_approval")
    _insist(cluster, "directive", "reject", directive, "--reason", "not that way")
    await_row(
        lambda: [r for r in rows(cluster, PLANS) if str(r["directive_id"]) == directive],
        lambda row: row["planned"] >= 2 and row["status"] == "awaiting_approval",
    )
    _insist(cluster, "directive", "approve", directive)
    await_status(cluster, directive, "completed")
    order = make(cluster, "order", "add", "More", "--directive", directive)
    _insist(cluster, "order", "pick-up", directive)
    _insist(cluster, "directive", "replan", directive, "--reason", "better")
    await_status(cluster, directive, "awaiting_approval")
    _insist(cluster, "order", "cancel", order)
    _insist(cluster, "directive", "archive", directive)


def await_status(cluster: Cluster, directive: str, status: str, within_seconds: float = 60) -> None:
    """Wait until a directive has a status."""
    await_row(
        lambda: [r for r in rows(cluster, DIRECTIVES) if str(r["id"]) == directive],
        lambda row: row["status"] == status,
        within_seconds,
    )


def cluster_steps(cluster: Cluster, directive: str) -> list[str]:
    """The ids of a directive's steps."""
    shown = json.loads(persist(cluster, "directive", "show", directive, "-o", "json"))
    return [step["id"] for step in shown["steps"]]


def _insist(cluster: Cluster, *words: str) -> None:
    """Ask three times at the most: an answer may get lost, and then the second time finds it done."""
    for _ in range(3):
        if cluster.run(*words).returncode == 0:
            return
        time.sleep(0.5)  # what it asks may be on its way back
