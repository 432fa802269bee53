"""What follows from a change of a directive: what becomes active, due, ready or ended because of it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.gateway.rows.directives import ACTIVATE, END_TASKS, STANDING, STOP_TASKS, AskedTask, LockedDirective
from services.gateway.rows.orders import SETTLE_ORDERS, SETTLE_THESE_ORDERS, SettledOrder
from services.gateway.rows.planning import HAND_OVER_PLANNING, NEEDS_PLAN, REQUEST_PLAN, SUPERSEDE, WITHDRAW_PLANS
from services.gateway.rows.steps import MAKE_READY
from shared.domain.ids import new_id
from shared.domain.statuses import DirectiveStatus
from shared.messages.events import DirectiveChanged, OrderChanged, PlanRequested, StepReady, StepRemoved, TaskChanged
from shared.store.database import UnitOfWork


async def reopen(unit: UnitOfWork, directive: LockedDirective) -> None:
    """New steps reopen what was idle or completed; an active directive may have more to run at once."""
    if directive.status in (DirectiveStatus.IDLE, DirectiveStatus.COMPLETED):
        await activate(unit, directive.id)
    elif directive.status == DirectiveStatus.ACTIVE:
        await make_ready(unit, directive.id)


async def activate(unit: UnitOfWork, directive: UUID) -> None:
    """Make it active (awaiting approval, while a plan waits for it); with a plan request when it has no steps yet."""
    (now,), (needs_plan,), ready = await unit.fetch_all(
        ACTIVATE(id=directive), NEEDS_PLAN(id=directive), MAKE_READY(directive=directive)
    )
    unit.record(DirectiveChanged(directive=directive, status=now.status, version=now.version))
    if needs_plan:
        request_plan(unit, directive, "goal", {})
    _made_ready(unit, directive, ready)


async def make_ready(unit: UnitOfWork, directive: UUID) -> None:
    """Make ready what may run now (rule 1)."""
    _made_ready(unit, directive, await unit.fetch(MAKE_READY(directive=directive)))


def _made_ready(unit: UnitOfWork, directive: UUID, steps: Sequence[UUID]) -> None:
    if steps:
        unit.record(StepReady(directive=directive, steps=tuple(steps)))


def request_plan(unit: UnitOfWork, directive: UUID, reason: str, payload: dict[str, str]) -> None:
    """Planning is due, and why."""
    unit.execute(REQUEST_PLAN(id=new_id(), directive=directive, reason=reason, payload=payload))
    unit.record(PlanRequested(directive=directive, reason=reason))


async def withdraw(unit: UnitOfWork, directive: LockedDirective, why: str) -> None:
    """A planning that is under way is cancelled for good, a plan that waits for approval withdrawn. What they were to
    serve is put back (rule 3)."""
    _say_ends(unit, directive.id, why, await unit.fetch(SUPERSEDE(directive=directive.id, why=why)))
    if directive.awaited_plan is not None:
        await withdraw_plans(unit, [directive.awaited_plan])


async def withdraw_plans(unit: UnitOfWork, tasks: Sequence[UUID]) -> None:
    """What these tasks added and removed, and is not in force yet, is withdrawn."""
    gone = await unit.fetch(WITHDRAW_PLANS(tasks=list(tasks)))
    unit.record(*(StepRemoved(directive=step.directive_id, step=step.id) for step in gone))


async def stop_tasks(unit: UnitOfWork, directive: UUID, why: str) -> None:
    """Whatever runs is ended for now: its steps run again when the directive goes on."""
    _say_ends(unit, directive, why, await unit.fetch(STOP_TASKS(directive=directive, why=why)))


async def end_tasks(unit: UnitOfWork, directive: UUID, why: str) -> None:
    """Whatever is live of an archived directive is ended."""
    _say_ends(unit, directive, why, await unit.fetch(END_TASKS(directive=directive, why=why)))


async def hand_over_planning(unit: UnitOfWork, directive: UUID, agent: str) -> None:
    """Let a planning that waits be begun by this agent."""
    waiting = await unit.fetch(HAND_OVER_PLANNING(directive=directive, agent=agent))
    _say_asked(unit, directive, f"its agent is {agent} now", waiting)


def _say_ends(unit: UnitOfWork, directive: UUID, why: str, asked: Sequence[AskedTask]) -> None:
    _say_asked(unit, directive, f"cancel asked: {why}", asked)


def _say_asked(unit: UnitOfWork, directive: UUID, reason: str, asked: Sequence[AskedTask]) -> None:
    for task in asked:
        unit.record(
            TaskChanged(
                directive=directive,
                task=task.id,
                attempt=task.attempt,
                kind=task.kind,
                status=task.status,
                reason=reason,
                asked=True,
            )
        )


async def changed(unit: UnitOfWork, directive: UUID, *what: str) -> None:
    """Say what a person changed of a directive, and its version after it."""
    now = await unit.fetch_one(STANDING(id=directive))
    unit.record(DirectiveChanged(directive=directive, status=now.status, changed=tuple(what), version=now.version))


async def settle_orders_of(unit: UnitOfWork, steps: Sequence[UUID]) -> None:
    """Bring the orders that these steps serve up to date."""
    if steps:
        _say_orders(unit, await unit.fetch(SETTLE_ORDERS(steps=list(steps))))


async def settle_orders(unit: UnitOfWork, orders: Sequence[UUID]) -> None:
    """Bring these orders up to date."""
    if orders:
        _say_orders(unit, await unit.fetch(SETTLE_THESE_ORDERS(orders=list(orders))))


def _say_orders(unit: UnitOfWork, orders: Sequence[SettledOrder]) -> None:
    unit.record(*(OrderChanged(directive=o.directive_id, order=o.id, status=o.status) for o in orders))
