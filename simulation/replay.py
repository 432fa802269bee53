"""The audit log, folded into where everything stands; and where the tables say otherwise. Pure.

It holds as long as the whole log is kept: what retention forgot can't be replayed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString

from shared.domain.statuses import DIRECTIVE_TRANSITIONS, STEP_TRANSITIONS, TASK_TRANSITIONS, TaskStatus

EVENTS: LiteralString = "SELECT type, body FROM makima.event ORDER BY seq"
DIRECTIVES: LiteralString = """
    SELECT id::text, status,
           CASE WHEN delivered_at IS NOT NULL AND repository_url IS NOT NULL THEN pr_branch END AS branch
      FROM makima.directive"""
STEPS: LiteralString = "SELECT id::text, status FROM makima.step"
TASKS: LiteralString = "SELECT id::text, status, attempt FROM makima.task"
"""What to ask of the log and of the tables."""

TOLD_OF_TASKS = {
    **TASK_TRANSITIONS,
    TaskStatus.PENDING: TASK_TRANSITIONS[TaskStatus.PENDING] | TASK_TRANSITIONS[TaskStatus.STARTING],
}
"""What may follow what in the log: that an attempt is asked for again which no daemon could take is no news."""

Rows = Iterable[Mapping[str, Any]]


@dataclass
class Standing:
    """Statuses by id; of a task with its attempt; and which branch a directive was last delivered on."""

    directives: dict[str, str] = field(default_factory=dict)
    steps: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, tuple[str, int]] = field(default_factory=dict)
    deliveries: dict[str, str] = field(default_factory=dict)
    skips: list[str] = field(default_factory=list)
    """Changes that no transition allows: the log lacks one before them."""

    def directive(self, directive: str, status: str) -> None:
        """A directive has changed."""
        self._check(DIRECTIVE_TRANSITIONS, "directive", directive, self.directives.get(directive), status)
        self.directives[directive] = status

    def step(self, step: str, status: str) -> None:
        """A step has changed."""
        self._check(STEP_TRANSITIONS, "step", step, self.steps.get(step), status)
        self.steps[step] = status

    def task(self, task: str, status: str, attempt: int) -> None:
        """A task has changed."""
        before, _ = self.tasks.get(task, (None, 0))
        self._check(TOLD_OF_TASKS, "task", task, before, status)
        self.tasks[task] = (status, attempt)

    def _check(self, table: Mapping[Any, frozenset[Any]], what: str, one: str, before: str | None, after: str) -> None:
        if before is not None and before != after and after not in table[before]:
            self.skips.append(f"{what} {one}: from {before} to {after}")


def replay(events: Rows) -> Standing:
    """Fold the audit log, in the order of its numbers: of one row's changes, that is the order of their commits."""
    now = Standing()
    for event in events:
        kind, body = event["type"], event["body"]
        match kind:
            case "directive.created":
                now.directives[body["directive"]] = "draft"
            case "directive.changed" if body.get("status"):
                now.directive(body["directive"], body["status"])
            case "step.added":
                now.steps.update(dict.fromkeys(body["steps"], "pending"))
            case "step.ready":
                for step in body["steps"]:
                    now.step(step, "ready")
            case "step.changed":
                now.step(body["step"], body["status"])
            case "step.removed":
                now.steps.pop(body["step"], None)
            case "task.created":
                now.tasks[body["task"]] = ("pending", 1)
            case "task.changed":
                now.task(body["task"], body["status"], body["attempt"])
            case "delivery.finished":
                now.deliveries[body["directive"]] = body.get("branch", "")
    return now


def standing(directives: Rows, steps: Rows, tasks: Rows) -> Standing:
    """What the tables say, of the rows that the statements above return."""
    directives = list(directives)
    return Standing(
        directives={row["id"]: row["status"] for row in directives},
        steps={row["id"]: row["status"] for row in steps},
        tasks={row["id"]: (row["status"], row["attempt"]) for row in tasks},
        deliveries={row["id"]: row["branch"] for row in directives if row["branch"] is not None},
    )


def differences(log: Standing, tables: Standing) -> list[str]:
    """Where the log and the tables disagree, in words."""
    return [
        f"{what} {entity}: {of_log.get(entity, 'nothing')} by the log, {of_tables.get(entity, 'nothing')} by the tables"
        for what, of_log, of_tables in (
            ("directive", log.directives, tables.directives),
            ("step", log.steps, tables.steps),
            ("task", log.tasks, tables.tasks),
            ("delivery of", log.deliveries, tables.deliveries),
        )
        for entity in sorted(of_log.keys() | of_tables.keys())
        if of_log.get(entity) != of_tables.get(entity)
    ]
