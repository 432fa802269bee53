"""Steps: added, removed, moved by a person."""

from __future__ import annotations

from uuid import UUID

import msgspec

from services.gateway.rows import SQL
from shared.domain.statuses import StepStatus


class NamedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that is there, with the MD5 of its task plan."""

    id: UUID
    name: str
    status: StepStatus
    plan: str


class CalledStep(msgspec.Struct, frozen=True, kw_only=True):
    """What a step is called."""

    id: UUID
    called: str


class MovedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step as it stands after a person's word."""

    id: UUID
    name: str
    status: StepStatus


class RemovedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that is gone, or goes when its holder's changes come into force."""

    id: UUID
    name: str
    status: StepStatus
    gone: bool


class AddedBy(msgspec.Struct, frozen=True, kw_only=True):
    """Which task added a step; None: a person did."""

    added_by: UUID | None


class FoundStep(msgspec.Struct, frozen=True, kw_only=True):
    """Where a step belongs."""

    id: UUID
    name: str
    status: StepStatus
    directive_id: UUID


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What a connected daemon offers."""

    agents: tuple[str, ...]
    labels: tuple[str, ...]


class KeptStep(msgspec.Struct, frozen=True, kw_only=True):
    """What of a step may be changed, and its status."""

    name: str
    description: str
    task_plan: str
    files: tuple[str, ...]
    agent: str | None
    model: str | None
    labels: tuple[str, ...]
    status: StepStatus


STEP_NAMES = SQL.query("step_names", NamedStep)
ADD_STEPS = SQL.command("add_steps")
OFFERS = SQL.query("offers", Offer)
EDIT_STEP = SQL.query("edit_step", MovedStep)
STEP_AS_IT_IS = SQL.query("step_as_it_is", KeptStep)
ADD_DEPENDENCIES = SQL.command("add_dependencies")
MAKE_READY = SQL.query("make_ready", UUID)
FOUND_STEPS = SQL.query("found_steps", int)
ADDED_BY = SQL.query("added_by", AddedBy)
REMOVE_STEP = SQL.query("remove_step", RemovedStep)
DEPENDENTS = SQL.query("dependents", str)
RETRY_STEP = SQL.query("retry_step", MovedStep)
SKIP_STEP = SQL.query("skip_step", MovedStep)
CALLED_STEPS = SQL.query("called_steps", CalledStep)
FIND_STEP = SQL.query("find_step", FoundStep)
FAILED_STEPS = SQL.query("failed_steps", int)
