"""Tasks as people see them, and what they and their agents say to them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from shared.domain.delivery import Commit
from shared.domain.statuses import TaskKind, TaskStatus


class TaskListed(msgspec.Struct, frozen=True, kw_only=True):
    """A task in a list."""

    id: UUID
    called: str
    """What commands take for it: `12/3`, `12/plan`."""
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


class AttemptShown(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a task."""

    number: int
    daemon: str | None
    agent: str
    session: str | None
    branch: str | None
    started_at: datetime
    ended_at: datetime | None
    outcome: Literal["succeeded", "failed", "interrupted", "lost", "cancelled"] | None
    """Null while it is under way."""
    reason: str | None
    exit_code: int | None
    cost_usd: float
    tokens: int


class TaskShown(TaskListed, frozen=True, kw_only=True):
    """A task with what it was told, what it said at its end, and its attempts."""

    prompt: str
    outcome: str
    commits: list[Commit]
    model: str | None
    """Which model its step asks for; null: the one of its agent's settings."""
    labels: list[str]
    """What its step asks of a daemon."""
    attempts: list[AttemptShown]


class OutputBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that a task printed, `first_seq` being the number of the first in its attempt."""

    attempt: int
    first_seq: int
    events: list[str]


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What was promised, in words."""

    status: str


class Words(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person tells a task's agent."""

    text: Annotated[str, msgspec.Meta(max_length=100_000, extra_json_schema={"minLength": 1})]


class GivenUp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a task's own agent can't do it."""

    reason: Annotated[str, msgspec.Meta(max_length=4000)]
