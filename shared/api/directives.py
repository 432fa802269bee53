"""Directives as people make, change and see them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from shared.api.steps import StepShown
from shared.domain.plans import PlannedStep
from shared.domain.statuses import DirectiveStatus, PauseCause, Standing, StepStatus

OnFailure = Literal["replan", "pause", "continue"]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Dollars = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
Tokens = Annotated[int, msgspec.Meta(gt=0, le=2**63 - 1)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class DirectiveListed(msgspec.Struct, frozen=True, kw_only=True):
    """A directive in a list. `steps` counts them by status."""

    id: UUID
    number: int
    """Short, and its owner's own: 12 is what people call it."""
    title: str
    status: DirectiveStatus
    standing: Standing
    """What people are told of it: `merging` or `pull request open`, where the status is `idle`."""
    pause_reason: str | None
    repository_url: str | None
    pr_branch: str | None
    pr_url: str | None
    created_at: datetime
    version: int
    steps: dict[StepStatus, int]
    cost_usd: float


class DirectiveShown(msgspec.Struct, frozen=True, kw_only=True):
    """A directive with its steps, in the order of the plan."""

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
    """The planning whose steps wait for approval."""
    awaited: list[UUID]
    """The tasks whose steps and removals wait for approval: that planning, and tasks that found work."""
    pr_branch: str | None
    pr_url: str | None
    delivery_outcome: str | None
    """What came of its newest delivery or look at its pull request, in words."""
    generation: int
    version: int
    """Rises with each change; its ETag."""
    created_at: datetime
    cost_usd: float
    tokens: int
    steps: list[StepShown]
    warnings: list[str] = []
    """On the plan that it was made with."""


class NewDirective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A goal on a repository, with or without its plan."""

    title: Annotated[str, msgspec.Meta(extra_json_schema={"minLength": 1})]
    goal: str = ""
    repository_url: str | None = None
    base_branch: str | None = None
    agent: str | None = None
    """Of the settings' agents; without it, the default one."""
    on_failure: OnFailure = "replan"
    max_parallel: AtLeastOne = 4
    max_attempts: AtLeastOne | None = None
    approve_plan: bool = False
    max_cost_usd: Dollars | None = None
    max_tokens: Tokens | None = None
    deadline: Instant | None = None
    stop_now: bool = False
    """Past a limit, end what runs instead of finishing it."""
    merge_into_base: bool = False
    check: str | None = None
    """A command that must pass on what is delivered."""
    steps: Annotated[list[PlannedStep], msgspec.Meta(extra_json_schema={"minItems": 1})] | None = None
    """The plan; without it, a planner makes one from the goal."""
    start: bool = False


class DirectiveChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What isn't given stays. Null lifts a limit, and leaves the rest to the default.

    Tasks that have begun keep their agent; the check and the base count from the next step and the next delivery on.
    """

    agent: str | msgspec.UnsetType | None = msgspec.UNSET
    base_branch: str | msgspec.UnsetType | None = msgspec.UNSET
    check: str | msgspec.UnsetType | None = msgspec.UNSET
    merge_into_base: bool | msgspec.UnsetType = msgspec.UNSET
    on_failure: OnFailure | msgspec.UnsetType = msgspec.UNSET
    approve_plan: bool | msgspec.UnsetType = msgspec.UNSET
    max_parallel: AtLeastOne | msgspec.UnsetType = msgspec.UNSET
    max_attempts: AtLeastOne | msgspec.UnsetType = msgspec.UNSET
    max_cost_usd: Dollars | msgspec.UnsetType | None = msgspec.UNSET
    max_tokens: Tokens | msgspec.UnsetType | None = msgspec.UNSET
    deadline: Instant | msgspec.UnsetType | None = msgspec.UNSET
    stop_now: bool | msgspec.UnsetType = msgspec.UNSET


class NewGoal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A goal in the place of the one before."""

    goal: str


class PlanWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the planner is told, in a person's words."""

    reason: str = ""


class DeliveryTold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a delivery: its pull request, or that it is completed."""

    pr_url: str | None = None
    status: Literal["completed"] | None = None
