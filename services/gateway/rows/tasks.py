"""Tasks: listed, shown, their output, what is asked of them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from services.gateway.rows import SQL
from shared.domain.delivery import Commit
from shared.domain.statuses import TaskKind, TaskStatus


class ListedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task in a list."""

    id: UUID
    called: str
    kind: TaskKind
    name: str
    status: TaskStatus
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


class ShownTask(ListedTask, frozen=True, kw_only=True):
    """A task with what it was told, and what it said at its end."""

    prompt: str
    outcome: str
    commits: list[Commit]
    model: str | None
    labels: list[str]


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a task."""

    number: int
    daemon: str | None
    agent: str
    session: str | None
    branch: str | None
    started_at: datetime
    ended_at: datetime | None
    outcome: Literal["succeeded", "failed", "interrupted", "lost", "cancelled"] | None
    reason: str | None
    exit_code: int | None
    cost_usd: float
    tokens: int


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that a task printed, `first_seq` being the number of the first in its attempt."""

    attempt: int
    first_seq: int
    events: list[str]


class AskedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that something was asked of."""

    directive_id: UUID
    attempt: int
    kind: TaskKind
    status: TaskStatus


TASKS = SQL.query("tasks", ListedTask)
TASK = SQL.query("task", ShownTask)
ATTEMPTS = SQL.query("attempts", Attempt)
OUTPUT = SQL.query("output", Output)
CANCEL = SQL.query("cancel", AskedTask)
TELL = SQL.query("tell", AskedTask)
GIVE_UP = SQL.query("give_up", UUID)
