"""Plans: asked for, awaited, enforced, withdrawn."""

from __future__ import annotations

from uuid import UUID

import msgspec

from services.gateway.rows import SQL
from services.gateway.rows.directives import AskedTask


class EnforcedPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that came into force: its steps, and those that it took away."""

    directive_id: UUID
    steps: list[UUID]
    gone: list[UUID]
    orders: list[UUID]
    """Those that stand otherwise by it."""


class WithdrawnStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that went with a plan."""

    directive_id: UUID
    id: UUID


CHANGE_GOAL = SQL.command("change_goal")
CHANGE_POLICIES = SQL.command("change_policies")
HAND_OVER_PLANNING = SQL.query("hand_over_planning", AskedTask)
REQUEST_PLAN = SQL.command("request_plan")
NEEDS_PLAN = SQL.query("needs_plan", bool)
AWAITED = SQL.query("awaited", list[UUID])
SUPERSEDE = SQL.query("supersede", AskedTask)
ENFORCE_PLANS = SQL.query("enforce_plans", EnforcedPlan)
WITHDRAW_PLANS = SQL.query("withdraw_plans", WithdrawnStep)
