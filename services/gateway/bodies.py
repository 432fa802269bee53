"""What goes in and out over HTTP, as Structs. Answers' keys are stable: agents and scripts read them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from shared.domain.plans import PlannedStep

OnFailure = Literal["replan", "pause", "continue"]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request's body: an unknown key is refused by name."""


class CreateDirective(Body, kw_only=True):
    """A new directive. With `steps` it needs no planning; `start` makes it active at once."""

    title: str
    goal: str = ""
    repository_url: str | None = None
    base_branch: str | None = None
    agent: str | None = None
    on_failure: OnFailure = "replan"
    approve_plan: bool = False
    max_parallel: int = 4
    max_attempts: int | None = None
    budget_usd: float | None = None
    steps: tuple[PlannedStep, ...] | None = None
    start: bool = False


class Change(Body, kw_only=True):
    """A change of status: the version it was decided on, and why."""

    version: int | None = None
    reason: str | None = None


class UpdateDirective(Body, kw_only=True):
    """What may be said of a directive: its pull request, or that it is completed."""

    pr_url: str | None = None
    status: Literal["completed"] | None = None
    version: int | None = None


class NewGoal(Body, kw_only=True):
    """A goal that replaces the present one."""

    goal: str
    version: int | None = None


class AddSteps(Body, kw_only=True):
    """A batch of steps, stored whole or not at all."""

    steps: tuple[PlannedStep, ...]
    version: int | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A node of the DAG as it stands."""

    id: UUID
    name: str
    status: str
    generation: int
    order_index: int
    depends_on: list[UUID]
    task_id: UUID | None
    branch: str | None
    attempts: int
    reason: str | None


class Directive(msgspec.Struct, frozen=True, kw_only=True):
    """A directive as it stands, with its steps."""

    id: UUID
    title: str
    goal: str
    status: str
    pause_reason: str | None
    pr_branch: str | None
    pr_url: str | None
    generation: int
    cost_usd: float
    tokens: int
    version: int
    steps: list[Step]


class DirectiveLine(msgspec.Struct, frozen=True, kw_only=True):
    """A directive in a list."""

    id: UUID
    title: str
    status: str
    pause_reason: str | None
    pr_branch: str | None
    pr_url: str | None
    repository_url: str | None
    created_at: datetime
    steps: int
    completed: int
    failed: int


class StepProgress(msgspec.Struct, frozen=True, kw_only=True):
    """A step's live side: what it prints last, and for how long it has run."""

    id: UUID
    name: str
    status: str
    task_id: UUID | None
    reason: str | None
    last_line: str | None
    seconds: float | None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What `watch` shows. `seq` is the last event before it was read; `delivered` means that nothing is left to deliver."""

    seq: int
    title: str
    status: str
    pause_reason: str | None
    pr_branch: str | None
    pr_url: str | None
    cost_usd: float
    delivered: bool
    planning: str | None
    steps: list[StepProgress]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it stands."""

    id: UUID
    directive_id: UUID
    step_id: UUID | None
    kind: str
    name: str
    agent: str
    status: str
    attempt: int
    daemon: str | None
    branch: str | None
    outcome: str
    reason: str | None
    waiting_reason: str | None
    cancel_asked: str | None
    cost_usd: float
    tokens: int
    version: int
    created_at: datetime
    ended_at: datetime | None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
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
    tail: str | None
    exit_code: int | None


class TaskDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A task with its prompt and its attempts."""

    task: Task
    prompt: str
    attempts: list[Attempt]


class LogBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive lines that an attempt printed; `first` is the number of the first, from 0."""

    attempt: int
    first: int
    lines: list[str]


class TaskLog(msgspec.Struct, frozen=True, kw_only=True):
    """Output after a cursor. `ended` means that no more will come."""

    batches: list[LogBatch]
    attempt: int
    next: int
    ended: bool


class Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """A worker machine."""

    name: str
    labels: list[str]
    agents: list[str]
    capacity: int
    running: int
    connected: bool
    draining: bool
    last_seen: datetime


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the audit log."""

    seq: int
    type: str
    directive_id: UUID | None
    body: dict[str, object]
    at: datetime


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """What something waits for, in sentences."""

    kind: str
    id: UUID
    name: str
    status: str
    because: list[str]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe is told."""

    status: str
