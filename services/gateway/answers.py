"""The shape of every answer. Times are UTC, ids UUIDs, costs in US dollars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from shared.domain.delivery import Commit
from shared.domain.masking import Mask

A = TypeVar("A")
_MASK = Mask()


class DirectiveRow(msgspec.Struct, frozen=True, kw_only=True):
    """A directive in a list. `steps` counts them by status."""

    id: UUID
    title: str
    status: str
    pause_reason: str | None
    repository_url: str | None
    pr_branch: str | None
    pr_url: str | None
    created_at: datetime
    version: int
    steps: dict[str, int]
    cost_usd: float


class StepShown(msgspec.Struct, frozen=True, kw_only=True):
    """A step with its newest task."""

    id: UUID
    name: str
    status: str
    description: str
    task_plan: str
    files: list[str]
    generation: int
    order_index: int
    depends_on: list[UUID]
    proposed: str | None
    """`added` or `removed` by a task whose changes aren't in force yet; None for what counts."""
    outcome: str
    files_changed: list[str]
    orders: list[UUID]
    task_id: UUID | None
    task_status: str | None
    branch: str | None
    attempts: int
    daemon: str | None
    reason: str | None
    waiting_reason: str | None
    started_at: datetime | None
    ended_at: datetime | None


class DirectiveShown(msgspec.Struct, frozen=True, kw_only=True):
    """A directive with its steps, in the order of the plan."""

    id: UUID
    title: str
    goal: str
    status: str
    pause_reason: str | None
    repository_url: str | None
    base_branch: str | None
    agent: str | None
    on_failure: str
    max_parallel: int
    approve_plan: bool
    max_cost_usd: float | None
    max_tokens: int | None
    deadline: datetime | None
    stop_now: bool
    paused_for: str | None
    awaited_plan: UUID | None
    """The planning whose steps wait for approval."""
    awaited: list[UUID]
    """The tasks whose steps and removals wait for approval: that planning, and tasks that found work."""
    pr_branch: str | None
    pr_url: str | None
    delivery_outcome: str | None
    """What came of its newest delivery or look at its pull request, in words."""
    generation: int
    version: int
    created_at: datetime
    cost_usd: float
    tokens: int
    steps: list[StepShown]
    warnings: list[str] = []
    """On the plan that it was made with."""


class StepAdded(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was added."""

    id: UUID
    name: str


class StepsAdded(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that was kept, and what its planner should look at again."""

    steps: list[StepAdded]
    warnings: list[str]


class StepRemoved(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was removed, and what its planner should look at again."""

    id: UUID
    warnings: list[str]


class StepFound(msgspec.Struct, frozen=True, kw_only=True):
    """Where a step belongs."""

    id: UUID
    name: str
    status: str
    directive_id: UUID


class StepMoved(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was retried or skipped, and where its directive stands now."""

    id: UUID
    name: str
    status: str
    directive_status: str


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """A task in a list."""

    id: UUID
    kind: str
    name: str
    status: str
    attempt: int
    agent: str
    daemon: str | None
    branch: str | None
    reason: str | None
    waiting_reason: str | None
    step_id: UUID | None
    directive_id: UUID
    cost_usd: float
    tokens: int
    created_at: datetime
    ended_at: datetime | None


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a task."""

    number: int
    daemon: str | None
    agent: str
    session: str | None
    branch: str | None
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    reason: str | None
    exit_code: int | None
    cost_usd: float
    tokens: int


class TaskShown(TaskRow, frozen=True, kw_only=True):
    """A task with what it was told, what it said at its end, and its attempts."""

    prompt: str
    outcome: str
    commits: list[Commit]
    attempts: list[AttemptRow]


class OutputBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that a task printed, `first_seq` being the number of the first in its attempt."""

    attempt: int
    first_seq: int
    events: list[Any]


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What was promised."""

    status: str


class DaemonRow(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon: `running` of its `capacity` slots are taken."""

    name: str
    capacity: int
    running: int
    connected: bool
    draining: bool
    refuses: str | None
    """Why it takes no more work though nobody asked for that."""
    labels: list[str]
    agents: list[str]
    last_seen: datetime


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the audit log. `seq` is its number, None for what passes by without being kept (task.output)."""

    seq: int | None
    type: str
    directive_id: UUID | None
    body: dict[str, Any]
    at: datetime


def answer(shape: type[A], row: Mapping[str, object]) -> A:
    """A row of the database in its shape; columns that the shape doesn't have are left out."""
    return msgspec.convert(_shown(row), shape)


def answers(shape: type[A], rows: Sequence[Mapping[str, object]]) -> list[A]:
    """Rows of the database in their shape."""
    return [answer(shape, row) for row in rows]


def _shown(row: Mapping[str, object]) -> Mapping[str, object]:
    """A row whose repository's address has no password in it."""
    url = row.get("repository_url")
    return {**row, "repository_url": _MASK(url)} if isinstance(url, str) else row
