"""The planner's statements, and what their rows become."""

from __future__ import annotations

from uuid import UUID

import msgspec

from services.planner.prompts import EarlierGoal, OpenOrder
from shared.domain.delivery import Commit
from shared.domain.statuses import StepStatus
from shared.store.statements import Statements

SQL = Statements("services.planner")


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan request carries: a person's words, or a failed step's name, reason and last output."""

    text: str = ""
    name: str = ""
    reason: str = ""
    tail: str = ""


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A directive that is due for planning, with what its prompt tells."""

    id: UUID
    title: str
    goal: str
    repository_url: str | None
    generation: int
    version: int
    max_parallel: int
    agent: str
    requests: tuple[UUID, ...]
    reasons: tuple[str, ...]
    payloads: tuple[Payload, ...]
    start_from: str | None
    labels: tuple[str, ...]
    """What connected daemons offer."""
    earlier_goals: tuple[EarlierGoal, ...]
    orders: tuple[OpenOrder, ...]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step in force, as a planner is told of it."""

    directive_id: UUID
    id: UUID
    name: str
    status: StepStatus
    description: str
    outcome: str
    reason: str | None
    files: tuple[str, ...]
    all_files: int
    commits: tuple[Commit, ...]
    serves: tuple[str, ...]
    """The orders that one serves which may be removed."""


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A plan task that was made."""

    id: UUID
    directive_id: UUID


DUE = SQL.query("due", Due)
STEPS = SQL.query("steps", Step)
PLAN = SQL.query("plan", Claimed)
