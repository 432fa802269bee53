"""Directives: made, locked, moved, listed, shown."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from services.gateway.rows import SQL
from shared.domain.statuses import DirectiveStatus, PauseCause, Standing, StepStatus, TaskKind, TaskStatus

OnFailure = Literal["replan", "pause", "continue"]


class LockedDirective(msgspec.Struct, frozen=True, kw_only=True):
    """A directive as it stands, until the transaction ends."""

    id: UUID
    status: DirectiveStatus
    version: int
    generation: int
    repository_url: str | None
    base_branch: str | None
    agent: str | None
    check: str | None
    merge_into_base: bool
    on_failure: OnFailure
    approve_plan: bool
    max_parallel: int
    max_attempts: int
    max_cost_usd: float | None
    max_tokens: int | None
    deadline: datetime | None
    stop_now: bool
    paused_for: PauseCause | None
    awaited_plan: UUID | None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a person changed of a directive, and when."""

    at: datetime
    changed: list[str]


class StatusNow(msgspec.Struct, frozen=True, kw_only=True):
    """A directive's status and version."""

    status: DirectiveStatus
    version: int


class AskedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task of which something was asked, as its end."""

    id: UUID
    attempt: int
    kind: TaskKind
    status: TaskStatus


class ListedDirective(msgspec.Struct, frozen=True, kw_only=True):
    """A directive with its steps counted by status."""

    id: UUID
    number: int
    title: str
    status: DirectiveStatus
    standing: Standing
    pause_reason: str | None
    repository_url: str | None
    pr_branch: str | None
    pr_url: str | None
    created_at: datetime
    version: int
    steps: dict[StepStatus, int]
    cost_usd: float


class ShownDirective(msgspec.Struct, frozen=True, kw_only=True):
    """All of a directive but its steps."""

    id: UUID
    number: int
    title: str
    goal: str
    status: DirectiveStatus
    standing: Standing
    pause_reason: str | None
    repository_url: str | None
    base_branch: str | None
    agent: str | None
    on_failure: OnFailure
    max_parallel: int
    max_attempts: int
    approve_plan: bool
    max_cost_usd: float | None
    max_tokens: int | None
    deadline: datetime | None
    stop_now: bool
    merge_into_base: bool
    paused_for: PauseCause | None
    awaited_plan: UUID | None
    awaited: list[UUID]
    pr_branch: str | None
    pr_url: str | None
    delivery_outcome: str | None
    generation: int
    version: int
    created_at: datetime
    cost_usd: float
    tokens: int


class ShownStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step with its newest task."""

    id: UUID
    number: int
    name: str
    status: StepStatus
    description: str
    task_plan: str
    files: list[str]
    generation: int
    order_index: int
    depends_on: list[UUID]
    agent: str | None
    model: str | None
    labels: list[str]
    proposed: Literal["added", "removed"] | None
    outcome: str
    files_changed: list[str]
    orders: list[UUID]
    task_id: UUID | None
    task_status: TaskStatus | None
    branch: str | None
    attempts: int
    daemon: str | None
    reason: str | None
    waiting_reason: str | None
    started_at: datetime | None
    ended_at: datetime | None


CREATE = SQL.command("create")
OWN_DIRECTIVE = SQL.query("own_directive", UUID)
LOCK = SQL.query("lock", LockedDirective)
CHANGES_SINCE = SQL.query("changes_since", Change)
STANDING = SQL.query("version", StatusNow)
SET_STATUS = SQL.query("set_status", int)
ACTIVATE = SQL.query("activate", StatusNow)
LIST = SQL.query("list", ListedDirective)
SHOW = SQL.query("show", ShownDirective)
STEPS = SQL.query("steps", ShownStep)
STOP_TASKS = SQL.query("stop_tasks", AskedTask)
END_TASKS = SQL.query("end_tasks", AskedTask)
