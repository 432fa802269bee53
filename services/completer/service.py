"""Completion: what is idle and undelivered gets a completion task; what a task delivered is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby
from uuid import UUID

from shared.config import Settings
from shared.domain.names import delivery_branch
from shared.domain.readiness import leaves
from shared.domain.statuses import TaskKind
from shared.messages.events import AnyEvent, DeliveryFinished, DirectiveChanged, Event, TaskChanged, TaskCreated
from shared.service.phase import Surroundings, listen, serve, surroundings
from shared.service.reactor import Reactor
from shared.store.database import Row
from shared.store.statements import statements

CONSUMES: frozenset[type[Event]] = frozenset({DirectiveChanged, TaskChanged})
EMITS: frozenset[type[Event]] = frozenset({TaskCreated, DeliveryFinished, DirectiveChanged})
SQL = statements("services.completer")


async def reconcile(around: Surroundings, directives: frozenset[UUID] | None) -> None:
    """Record what was delivered, then make the completion tasks that are due."""
    chosen = {"directives": None if directives is None else list(directives)}
    async with around.database.unit_of_work("completer.record") as unit:
        for row in await unit.rows(SQL["finished"], chosen):
            unit.record(
                DeliveryFinished(directive=row["id"], branch=row["pr_branch"] or ""),
                DirectiveChanged(directive=row["id"], status="completed", reason=f"delivered on {row['pr_branch']}"),
            )
        for row in await unit.rows(SQL["without_repository"], chosen):
            unit.record(DirectiveChanged(directive=row["id"], status="completed", reason="no repository to deliver to"))
    due = await around.database.rows(SQL["due"], chosen)
    if due:
        await _deliver(around, due)


async def _deliver(around: Surroundings, due: Sequence[Row]) -> None:
    deliveries = [list(rows) for _, rows in groupby(due, key=lambda r: r["id"])]
    firsts = [rows[0] for rows in deliveries]
    merges = [leaves([(r["step_id"], r["branch"], r["depends_on"]) for r in rows]) for rows in deliveries]
    async with around.database.unit_of_work("completer.deliver") as unit:
        claimed = await unit.rows(
            SQL["deliver"],
            {
                "ids": [around.new_id() for _ in firsts],
                "owners": [f["owner_id"] for f in firsts],
                "directives": [f["id"] for f in firsts],
                "targets": [f["pr_branch"] or delivery_branch(f["title"], f["id"]) for f in firsts],
                "merges": ["{" + ",".join(f'"{b}"' for b in branches) + "}" for branches in merges],
            },
        )
        unit.record(*(TaskCreated(directive=c["directive_id"], task=c["id"], kind="completion") for c in claimed))


def wakes(event: AnyEvent) -> Sequence[UUID | None]:
    """A task's changes matter here unless it is of another kind."""
    if isinstance(event, TaskChanged) and event.kind in (TaskKind.PLAN, TaskKind.STEP):
        return ()
    return (event.directive,)


async def run(around: Surroundings, stop: asyncio.Event) -> None:
    """Complete until `stop` is set."""
    reactor = Reactor(lambda d: reconcile(around, d), around.settings.sweep_seconds, around.chance)
    around.ready()
    await serve(reactor, stop, listen(around, CONSUMES, reactor, wakes))


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Run the completer's process until `stop` is set."""
    async with surroundings(settings, "completer", EMITS) as around:
        await run(around, stop)
