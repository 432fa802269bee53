"""The completer's statements, and what their rows become."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import msgspec

from services.completer.prompts import StepText
from shared.domain.delivery import Delivery, Result, StepBranch
from shared.domain.delivery_outcomes import NothingLeft
from shared.domain.statuses import DirectiveStatus
from shared.store.statements import Statements

SQL = Statements("services.completer")


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is done."""

    id: UUID
    title: str


class Step(StepText, frozen=True, kw_only=True):
    """A step of a directive that is delivered, with what the delivery depends on."""

    delivered: bool = False
    branch_removed: bool = False
    round: int | None = None
    """The number of the pull request that it was delivered with."""
    base: str | None = None
    order_index: int = 0
    depends_on: tuple[UUID, ...] = ()
    orders: tuple[Served, ...] = ()
    """Those that it serves, and that are done."""


class Unsettled(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery or a look that ended well, with its directive; nothing was drawn from it yet."""

    task_id: UUID
    delivery: Delivery | None
    result: Result | None
    id: UUID
    owner_id: UUID
    title: str
    goal: str
    agent: str | None
    status: DirectiveStatus
    on_failure: str
    delivery_fixes: int
    pr_url: str | None
    pr_etag: str | None
    pr_looks: int
    generation: int
    target_branch: str | None
    steps: tuple[Step, ...]


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """What a directive came to by a result."""

    id: UUID
    status: DirectiveStatus
    before: DirectiveStatus
    pr_branch: str | None
    pr_url: str | None
    reason: str | None
    delivered: bool


class Over(NothingLeft, frozen=True, kw_only=True):
    """A directive in which nothing is left to deliver."""

    id: UUID


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A directive of which a task is ordered, with what its pull request tells."""

    id: UUID
    owner_id: UUID
    title: str
    goal: str
    repository_url: str | None
    pr_branch: str | None
    pr_url: str | None
    pr_round: int
    left_out: tuple[UUID, ...]
    delivered_heads: tuple[str, ...]
    seconds: float | None
    usd: float | None
    tokens: int | None


class DeliveryDue(Told, frozen=True, kw_only=True):
    """A directive that is to be delivered."""

    pr_state: str | None
    merge_into_base: bool
    check_command: str | None
    steps: tuple[Step, ...]


class LookDue(Told, frozen=True, kw_only=True):
    """A directive whose pull request is to be looked for or at."""

    pr_etag: str | None
    action: Literal["verify", "watch"]
    steps: tuple[StepBranch, ...]
    all_steps: tuple[Step, ...] | None


class NextLook(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds until the next pull request is looked at; None when there is none."""

    seconds: float | None


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """A task that was made."""

    id: UUID
    directive_id: UUID
    kind: str


UNSETTLED = SQL.query("unsettled", Unsettled)
SETTLE = SQL.query("settle", Drawn)
ADD_FIXES = SQL.command("add_fixes")
DUE = SQL.query("due", DeliveryDue)
LOOKS_DUE = SQL.query("looks_due", LookDue)
NEXT_LOOK = SQL.query("next_look", NextLook)
ORDER = SQL.query("order", Ordered)
NOTHING_LEFT = SQL.query("nothing_left", Over)
CONCLUDE = SQL.command("conclude")
