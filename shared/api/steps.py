"""Steps as people and agents add, move and see them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from shared.domain.plans import PlannedStep
from shared.domain.statuses import DirectiveStatus, StepStatus, TaskStatus


class StepShown(msgspec.Struct, frozen=True, kw_only=True):
    """A step with its newest task."""

    id: UUID
    number: int
    """Its own within the directive: `12/3` is the third step of directive 12."""
    name: str
    status: StepStatus
    description: str
    task_plan: str
    files: list[str]
    generation: int
    order_index: int
    depends_on: list[UUID]
    agent: str | None
    """Who works on it; null: the directive's agent."""
    model: str | None
    labels: list[str]
    """What its daemon has to offer."""
    proposed: Literal["added", "removed"] | None
    """By a task whose changes aren't in force yet; null for what counts."""
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


class NewSteps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A batch of steps, added whole or not at all."""

    steps: Annotated[list[PlannedStep], msgspec.Meta(extra_json_schema={"minItems": 1})]


class StepAdded(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was added."""

    id: UUID
    called: str
    """What commands take for it: `12/3`."""
    name: str


class StepsAdded(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that was kept, and what its planner should look at again."""

    steps: list[StepAdded]
    warnings: list[str]


class StepChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What isn't given stays. Null lifts a choice."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    task_plan: str | msgspec.UnsetType = msgspec.UNSET
    files: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    agent: str | msgspec.UnsetType | None = msgspec.UNSET
    model: str | msgspec.UnsetType | None = msgspec.UNSET
    labels: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


class StepChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was changed, and what its planner should look at again."""

    id: UUID
    name: str
    status: StepStatus
    warnings: list[str]


class StepRemoved(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was removed, and what its planner should look at again."""

    id: UUID
    warnings: list[str]


class StepFound(msgspec.Struct, frozen=True, kw_only=True):
    """Where a step belongs."""

    id: UUID
    name: str
    status: StepStatus
    directive_id: UUID


class StepMoved(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was retried or skipped, and where its directive stands now."""

    id: UUID
    name: str
    status: StepStatus
    directive_status: DirectiveStatus
