"""The monitor's statements, and what their rows become."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from shared.domain.policies import OnFailure
from shared.domain.statuses import CancelCause, TaskKind, TaskStatus
from shared.store.statements import Command, Statements

SQL = Statements("services.monitor")


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """A task that reports are about, with what of its directive decides. `serves`: its step serves an order."""

    id: UUID
    directive_id: UUID
    step_id: UUID | None
    kind: TaskKind
    owner: str
    name: str
    status: TaskStatus
    attempt: int
    failures: int
    losses: int
    daemon: str | None
    cancel_cause: CancelCause | None
    gave_up: str | None
    max_attempts: int
    on_failure: OnFailure
    approve_plan: bool
    has_budget: bool
    serves: bool
    spent_usd: float
    spent_tokens: int


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step whose status has changed."""

    id: UUID
    directive_id: UUID
    name: str
    status: str
    reason: str | None


class Advanced(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of a directive that were made ready."""

    directive_id: UUID
    steps: tuple[UUID, ...]


class Stuck(msgspec.Struct, frozen=True, kw_only=True):
    """A directive in which nothing can run, and the name of the first step that failed of it."""

    id: UUID
    failed: str | None


class Paused(msgspec.Struct, frozen=True, kw_only=True):
    """A directive that was paused, and why."""

    id: UUID
    pause_reason: str | None


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """How many steps a planning added, and how many it kept that are still to run."""

    id: UUID
    added: int
    kept: int


class Enforced(msgspec.Struct, frozen=True, kw_only=True):
    """A directive's steps that came into force, those that are gone, and the orders that stand otherwise by it."""

    directive_id: UUID
    steps: tuple[UUID, ...]
    gone: tuple[UUID, ...]
    orders: tuple[UUID, ...]


class Awaiting(msgspec.Struct, frozen=True, kw_only=True):
    """A directive whose plan waits for approval, and its status."""

    id: UUID
    status: str


class Withdrawn(msgspec.Struct, frozen=True, kw_only=True):
    """A step that is gone with its plan."""

    directive_id: UUID
    id: UUID


class RoundsRow(msgspec.Struct, frozen=True, kw_only=True):
    """How often a directive was planned for failures."""

    id: UUID
    has_goal: bool
    in_a_row: int
    under_this_goal: int


class SpentRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a directive may spend and has spent."""

    id: UUID
    max_cost_usd: Decimal | None
    max_tokens: int | None
    deadline: datetime | None
    stop_now: bool
    now: datetime
    cost_usd: Decimal
    tokens: int


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A task of which something is asked, or whose status has changed."""

    id: UUID
    directive_id: UUID
    attempt: int
    kind: str
    status: str


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """An order whose status has changed."""

    id: UUID
    directive_id: UUID | None
    status: str


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that a daemon says it runs, and that isn't its own."""

    owner: str
    daemon: str
    task: UUID
    attempt: int


class Silent(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon that is heard, and counts as gone."""

    owner: str
    name: str


class Unkept(msgspec.Struct, frozen=True, kw_only=True):
    """Output that was not kept; `early`: the attempt may become its daemon's."""

    owner: str
    daemon: str
    task: UUID
    attempt: int
    early: bool


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """A task that waits and is to be cancelled, and why."""

    id: UUID
    cancel_asked: str


class Expired(msgspec.Struct, frozen=True, kw_only=True):
    """A question that nobody answered in time."""

    id: UUID
    directive_id: UUID
    task_id: UUID
    settled: str


class Questioned(msgspec.Struct, frozen=True, kw_only=True):
    """A task that was paused by a question, or goes on after it."""

    id: UUID
    directive_id: UUID
    attempt: int
    kind: str
    daemon: str | None


TASKS = SQL.query("tasks", TaskRow)
APPLY = SQL.query("apply", Step)
AGENTS = SQL.command("agents")
GO_UNCHECKED = SQL.command("go_unchecked")
ADVANCE = SQL.query("advance", Advanced)
ADVANCE_ALL = SQL.query("advance_all", Advanced)
IDLE = SQL.query("idle", UUID)
AWAIT_FOUND = SQL.query("await_found", UUID)
STUCK = SQL.query("stuck", Stuck)
PLANNED = SQL.query("planned", Planned)
ENFORCE_PLANS = SQL.query("enforce_plans", Enforced)
AWAIT_APPROVAL = SQL.query("await_approval", Awaiting)
WITHDRAW_PLANS = SQL.query("withdraw_plans", Withdrawn)
UNSERVE = SQL.command("unserve")
ROUNDS = SQL.query("rounds", RoundsRow)
REQUEST_REPLANS = SQL.command("request_replans")
SPENT = SQL.query("spent", SpentRow)
STOP_TASKS = SQL.query("stop_tasks", Asked)
SUPERSEDE_REPLANS = SQL.query("supersede_replans", Asked)
PAUSE = SQL.query("pause", Paused)
SETTLE_ORDERS = SQL.query("settle_orders", OrderRow)
SETTLE_THESE_ORDERS = SQL.query("settle_these_orders", OrderRow)
SKIP_DEPENDENTS = SQL.query("skip_dependents", Step)
MESSAGES_DELIVERED = SQL.command("messages_delivered")
OUTPUT = SQL.query("output", Unkept)
RENEW = SQL.query("renew", Held)
CONNECT_DAEMONS = SQL.command("connect_daemons")
HEARD = SQL.query("heard", Silent)
DISCONNECT_UNHEARD = SQL.query("disconnect_unheard", str)
DISCONNECT_DAEMONS = SQL.command("disconnect_daemons")
LOST = SQL.query("lost", UUID)
CANCELLED = SQL.query("cancelled", Cancelled)
EXPIRE_QUESTIONS = SQL.query("expire_questions", Expired)
PAUSE_ASKING = SQL.query("pause_asking", Questioned)
RESUME_ANSWERED = SQL.query("resume_answered", Questioned)
FORGET_OUTPUT = SQL.query("forget_output", int)
FORGET_EVENTS = SQL.query("forget_events", int)
BITMAPS = Command("monitor.bitmaps", "SET LOCAL enable_bitmapscan = on")
"""Ages are indexed by BRIN, which only bitmaps read; a service's connections plan without them."""
