"""What decides why something waits, and all that waits for a person."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from services.gateway.rows import SQL
from shared.domain.explanation import Slots, Step, Task
from shared.domain.statuses import DirectiveStatus, PauseCause, Refusal


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What an id is of."""

    kind: Literal["directive", "step", "task"]
    directive_id: UUID
    name: str
    status: str


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A directive with what is due of it."""

    status: DirectiveStatus
    pause_reason: str | None
    paused_for: PauseCause | None
    awaited_plan: UUID | None
    awaited: tuple[UUID, ...]
    on_failure: str
    max_parallel: int
    delivered_to: str | None
    delivery_outcome: str | None
    delivery_output: str | None
    undelivered: bool
    requests: list[str]
    now: datetime


class CalledThing(msgspec.Struct, frozen=True, kw_only=True):
    """What a directive, or a step, a live task or an open question of it is called."""

    id: UUID
    called: str


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Something that waits for a person."""

    kind: Literal["question", "approval", "paused", "waiting"]
    id: UUID
    directive_id: UUID
    title: str
    text: str | None
    since: datetime
    status: DirectiveStatus
    paused_for: PauseCause | None
    failed_step: UUID | None
    """The first that failed; of what no daemon takes, its step."""
    number: int | None
    """The directive's."""
    failed_number: int | None
    scripted: bool
    """The step that failed is a script."""
    task: str | None
    """What the task is called that asks, or that no daemon takes."""
    options: list[str]
    refusal: Refusal | None
    undelivered: bool
    asker: str | None
    """The name of the task that asks."""
    awaits_plan: bool
    """It is a plan that waits for approval, not work that steps found."""


WHY_FIND = SQL.query("why_find", Found)
WHY_DIRECTIVE = SQL.query("why_directive", Waiting)
WHY_SLOTS = SQL.query("why_slots", Slots)
WHY_STEPS = SQL.query("why_steps", Step)
WHY_CALLED = SQL.query("why_called", CalledThing)
WHY_TASKS = SQL.query("why_tasks", Task)
INBOX = SQL.query("inbox", Item)
