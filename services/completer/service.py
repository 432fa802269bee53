"""Completion: what is idle and undelivered is delivered; what came of it is drawn; its pull request is watched."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from uuid import UUID

import msgspec

from services.completer import ordering, prompts
from services.completer.ordering import Task
from shared.config import Settings
from shared.domain.delivery import Broken, Conflicted, Delivered, Delivery, Nothing, Result, Seen
from shared.domain.delivery_outcomes import Settled, settle
from shared.domain.statuses import ENDED_TASK, DirectiveStatus, TaskKind
from shared.messages.events import (
    DeliveryFinished,
    DirectiveChanged,
    Event,
    StepAdded,
    StepReady,
    TaskChanged,
    TaskCreated,
)
from shared.messages.topics import Consumes
from shared.service.leadership import lead
from shared.service.phase import Surroundings, listen, serve, surroundings
from shared.service.reactor import Reactor
from shared.store.database import Row, UnitOfWork, as_array, as_json
from shared.store.statements import statements

CONSUMES: Consumes = {
    DirectiveChanged: (f"{DirectiveStatus.IDLE}/",),
    TaskChanged: tuple(
        f"{status}/{kind}/" for status in sorted(ENDED_TASK) for kind in (TaskKind.COMPLETION, TaskKind.VERIFICATION)
    ),
}
"""Something may be due when a directive becomes idle, or changes while it is, and when a delivery has ended."""
EMITS: frozenset[type[Event]] = frozenset({TaskCreated, DeliveryFinished, DirectiveChanged, StepAdded, StepReady})
SQL = statements("services.completer")
_RESULT = Delivered | Conflicted | Broken | Seen | Nothing


class Completer:
    """What is due is asked of Postgres; woken by events, by its own alarm for pull requests, and by the sweep."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._alarm: asyncio.TimerHandle | None = None
        self.reactor = Reactor(self.reconcile, around.settings.sweep_seconds, around.chance)

    async def reconcile(self, directives: frozenset[UUID] | None) -> None:
        """Draw what came of deliveries, then order what is due."""
        chosen = {"directives": None if directives is None else list(directives)}
        async with self._around.database.unit_of_work("completer.settle") as unit:
            if rows := await unit.rows(SQL["unsettled"], chosen):
                await self._settle(unit, rows)
            for over in await unit.rows_of_each((SQL["nothing_to_deliver"], chosen), (SQL["came_to_nothing"], chosen)):
                unit.record(
                    *(DirectiveChanged(directive=r["id"], status=r["status"], reason=r["reason"]) for r in over)
                )
        (next_look,), deliveries, looks = await self._around.database.rows_of_each(
            (SQL["next_look"], None), (SQL["due"], chosen), (SQL["looks_due"], chosen)
        )
        settings = self._around.settings
        due = [ordering.deliver(row, settings) for row in deliveries] + [ordering.look(row, settings) for row in looks]
        if due:
            async with self._around.database.unit_of_work("completer.order") as unit:
                await self._order(unit, due)
        self._look_again(next_look["seconds"])

    async def _settle(self, unit: UnitOfWork, rows: Sequence[Row]) -> None:
        """Write what follows from the results of tasks, a row each."""
        settings = self._around.settings
        orders = [msgspec.convert(row["delivery"] or _UNKNOWN, Delivery) for row in rows]
        settled = [
            settle(_result(row), ordering.situation(row, order, settings))
            for row, order in zip(rows, orders, strict=True)
        ]
        for row in await unit.rows(SQL["settle"], _columns(rows, settled)):
            if row["delivered"]:
                unit.record(DeliveryFinished(directive=row["id"], branch=row["pr_branch"] or "", pr_url=row["pr_url"]))
            if row["status"] != row["before"] or row["reason"]:
                unit.record(DirectiveChanged(directive=row["id"], status=row["status"], reason=row["reason"]))
        fixes = [(row, s.fix) for row, s in zip(rows, settled, strict=True) if s.fix and row["status"] == "idle"]
        if fixes:
            await self._add_fixes(unit, fixes)
        resolving = [
            ordering.resolve(row, order, s.resolve, settings)
            for row, order, s in zip(rows, orders, settled, strict=True)
            if s.resolve and row["status"] == DirectiveStatus.IDLE
        ]
        if resolving:
            await self._order(unit, resolving)

    async def _add_fixes(self, unit: UnitOfWork, fixes: Sequence[tuple[Row, Broken]]) -> None:
        ids = [self._around.new_id() for _ in fixes]
        names = [[_name(row, step) for step in broken.steps] for row, broken in fixes]
        await unit.rows(
            SQL["add_fixes"],
            {
                "ids": ids,
                "directives": [row["id"] for row, _ in fixes],
                "names": [f"Mend the check: {' with '.join(named)}"[:200] for named in names],
                "plans": [
                    prompts.fix(broken=broken, names=named) for (_, broken), named in zip(fixes, names, strict=True)
                ],
                "indexes": [ordering.highest_index(row, broken.steps) for row, broken in fixes],
                "generations": [row["generation"] for row, _ in fixes],
                "needs": [as_array(map(str, broken.steps)) for _, broken in fixes],
            },
        )
        for step, (row, _) in zip(ids, fixes, strict=True):
            unit.record(StepAdded(directive=row["id"], steps=(step,)), StepReady(directive=row["id"], steps=(step,)))

    async def _order(self, unit: UnitOfWork, tasks: Sequence[Task]) -> None:
        claimed = await unit.rows(
            SQL["order"],
            {
                "ids": [self._around.new_id() for _ in tasks],
                "owners": [t.owner for t in tasks],
                "directives": [t.directive for t in tasks],
                "kinds": [t.kind for t in tasks],
                "names": [t.name for t in tasks],
                "agents": [t.agent for t in tasks],
                "prompts": [t.prompt for t in tasks],
                "targets": [t.target for t in tasks],
                "merges": [as_array(s.branch for s in t.order.steps) for t in tasks],
                "deliveries": [as_json(t.order) for t in tasks],
            },
        )
        unit.record(*(TaskCreated(directive=c["directive_id"], task=c["id"], kind=c["kind"]) for c in claimed))

    def _look_again(self, seconds: float | None) -> None:
        """Wake up when the next pull request is to be looked at, in so many seconds; None: there is none."""
        if seconds is None:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_later(min(seconds, 3600.0) + 0.01, self.reactor.wake, (None,))


_UNKNOWN = {"action": "deliver", "title": ""}
"""The order of a delivery from before orders were stored."""


def _result(row: Row) -> Result:
    if row["result"] is None:
        return Nothing(reason=f"on {row['target_branch']}")
    result: Result = msgspec.convert(row["result"], _RESULT)
    return result


def _columns(rows: Sequence[Row], settled: Sequence[Settled]) -> dict[str, list[object]]:
    return {
        "tasks": [r["task_id"] for r in rows],
        "directives": [r["id"] for r in rows],
        "statuses": [s.status for s in settled],
        "reasons": [s.reason for s in settled],
        "branches": [s.branch for s in settled],
        "rounds": [s.round for s in settled],
        "urls": [s.url for s in settled],
        "states": [s.state for s in settled],
        "etags": [s.etag for s in settled],
        "looks_in": [s.look_in for s in settled],
        "looks": [s.looks for s in settled],
        "delivered": [s.delivered for s in settled],
        "verified": [s.verified for s in settled],
        "fixes": [int(s.fix is not None) for s in settled],
        "left_outs": [as_array(map(str, s.leave_out)) for s in settled],
        "removed": [as_array(s.removed) for s in settled],
        "heads": [as_array(s.heads) for s in settled],
        "undelivered": [as_array(map(str, s.undelivered)) for s in settled],
        "forgotten": [s.forgotten for s in settled],
    }


def _name(row: Row, step: UUID) -> str:
    return next((str(s["name"]) for s in row["steps"] if s["id"] == str(step)), str(step))


async def run(around: Surroundings, stop: asyncio.Event) -> None:
    """Complete until `stop` is set, while this completer leads."""
    around.ready()
    await lead(around.leadership, stop, partial(_work, around))


async def _work(around: Surroundings, stop: asyncio.Event) -> None:
    reactor = Completer(around).reactor
    await serve(reactor, stop, partial(listen, around, CONSUMES, reactor))


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Run the completer's process until `stop` is set."""
    async with surroundings(settings, "completer", EMITS, promises=False) as around:
        await run(around, stop)
