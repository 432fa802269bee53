"""Completion: what is idle and undelivered is delivered; what came of it is drawn; its pull request is watched."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from uuid import UUID

import structlog

from services.completer import ordering, prompts, rows
from services.completer.ordering import Task
from services.completer.rows import Drawn, Over, Unsettled
from shared.config import Settings
from shared.domain.delivery import Broken, Delivery, Nothing, Result
from shared.domain.delivery_outcomes import Settled, conclusion, settle
from shared.domain.statuses import DELIVERY_KINDS, ENDED_TASK, DirectiveStatus
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
from shared.metrics import DELIVERED, ORDERED
from shared.service.leadership import lead
from shared.service.phase import Context, listen, open_context, serve
from shared.service.reactor import Reactor
from shared.store.database import UnitOfWork
from shared.store.statements import Asked
from shared.store.values import as_array

log = structlog.get_logger()

CONSUMES: Consumes = {
    DirectiveChanged: (f"{DirectiveStatus.IDLE}/",),
    TaskChanged: tuple(f"{status}/{kind}/" for status in sorted(ENDED_TASK) for kind in sorted(DELIVERY_KINDS)),
}
"""Something may be due when a directive becomes idle, or changes while it is, and when a delivery has ended."""
EMITS: frozenset[type[Event]] = frozenset({TaskCreated, DeliveryFinished, DirectiveChanged, StepAdded, StepReady})


class Completer:
    """What is due is asked of Postgres; woken by events, by its own alarm for pull requests, and by the sweep."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.reactor = Reactor(self.reconcile, context.settings.sweep_seconds, context.rng)

    async def reconcile(self, directives: frozenset[UUID] | None) -> None:
        """Draw what came of deliveries, then order what is due."""
        chosen = None if directives is None else list(directives)
        async with self._context.database.unit_of_work("completer.settle") as unit:
            if unsettled := await unit.fetch(rows.UNSETTLED(directives=chosen)):
                await self._settle(unit, unsettled)
            if over := await unit.fetch(rows.NOTHING_LEFT(directives=chosen)):
                _conclude(unit, over)
        _tell(unit.events)
        (next_look,), deliveries, looks = await self._context.database.fetch_all(
            rows.NEXT_LOOK(), rows.DUE(directives=chosen), rows.LOOKS_DUE(directives=chosen)
        )
        settings = self._context.settings
        due = [ordering.deliver(row, settings) for row in deliveries] + [ordering.look(row, settings) for row in looks]
        if due:
            async with self._context.database.unit_of_work("completer.order") as unit:
                await self._order(unit, due)
        if next_look.seconds is not None:
            self.reactor.wake_within(next_look.seconds)

    async def _settle(self, unit: UnitOfWork, unsettled: Sequence[Unsettled]) -> None:
        """Write what follows from the results of tasks."""
        settings = self._context.settings
        orders = [one.delivery or _UNKNOWN for one in unsettled]
        settled = [
            settle(_result(one), ordering.situation(one, order, settings))
            for one, order in zip(unsettled, orders, strict=True)
        ]
        for drawn in await unit.fetch(_settling(unsettled, settled)):
            if drawn.delivered:
                unit.record(DeliveryFinished(directive=drawn.id, branch=drawn.pr_branch or "", pr_url=drawn.pr_url))
            if drawn.status is not drawn.before or drawn.reason:
                unit.record(DirectiveChanged(directive=drawn.id, status=drawn.status, reason=drawn.reason))
        idle = [
            (one, order, s)
            for one, order, s in zip(unsettled, orders, settled, strict=True)
            if one.status is DirectiveStatus.IDLE
        ]
        if fixes := [(one, s.fix) for one, _, s in idle if s.fix]:
            self._add_fixes(unit, fixes)
        if resolving := [ordering.resolve(one, order, s.resolve, settings) for one, order, s in idle if s.resolve]:
            await self._order(unit, resolving)

    def _add_fixes(self, unit: UnitOfWork, fixes: Sequence[tuple[Unsettled, Broken]]) -> None:
        ids = [self._context.new_id() for _ in fixes]
        names = [[_name(one, step) for step in broken.steps] for one, broken in fixes]
        unit.execute(
            rows.ADD_FIXES(
                ids=ids,
                directives=[one.id for one, _ in fixes],
                names=[f"Mend the check: {' with '.join(named)}"[:200] for named in names],
                description=prompts.FIX,
                plans=[
                    prompts.fix(broken=broken, names=named) for (_, broken), named in zip(fixes, names, strict=True)
                ],
                indexes=[ordering.highest_index(one, broken.steps) for one, broken in fixes],
                generations=[one.generation for one, _ in fixes],
                needs=[as_array(map(str, broken.steps)) for _, broken in fixes],
            )
        )
        for step, (one, _) in zip(ids, fixes, strict=True):
            unit.record(StepAdded(directive=one.id, steps=(step,)), StepReady(directive=one.id, steps=(step,)))

    async def _order(self, unit: UnitOfWork, tasks: Sequence[Task]) -> None:
        ordered = await unit.fetch(
            rows.ORDER(
                ids=[self._context.new_id() for _ in tasks],
                owners=[t.owner for t in tasks],
                directives=[t.directive for t in tasks],
                kinds=[t.kind for t in tasks],
                names=[t.name for t in tasks],
                agents=[t.agent for t in tasks],
                prompts=[t.prompt for t in tasks],
                targets=[t.target for t in tasks],
                merges=[as_array(s.branch for s in t.order.steps) for t in tasks],
                deliveries=[t.order for t in tasks],
            )
        )
        unit.record(*(TaskCreated(directive=task.directive_id, task=task.id, kind=task.kind) for task in ordered))
        unit.after_commit(partial(_tell_ordered, ordered))


def _conclude(unit: UnitOfWork, over: Sequence[Over]) -> None:
    """Complete or pause directives in which nothing is left to deliver."""
    concluded = [(one.id, *conclusion(one)) for one in over]
    ids, statuses, reasons = zip(*concluded, strict=True)
    unit.execute(rows.CONCLUDE(directives=list(ids), statuses=list(statuses), reasons=list(reasons)))
    unit.record(*(DirectiveChanged(directive=one, status=status, reason=why) for one, status, why in concluded))


def _tell(events: Sequence[Event]) -> None:
    """What was drawn of deliveries, a line each."""
    for event in events:
        if isinstance(event, DirectiveChanged):
            DELIVERED.add(event.status)
            log.info("delivery settled", directive=event.directive, status=event.status, reason=event.reason)
        elif isinstance(event, DeliveryFinished):
            log.info("delivered", directive=event.directive, branch=event.branch, pull_request=event.pr_url)


async def _tell_ordered(ordered: Sequence[rows.Ordered]) -> None:
    for task in ordered:
        ORDERED.add(task.kind)
        log.info("delivery asked for", directive=task.directive_id, task=task.id, kind=task.kind)


_UNKNOWN = Delivery(action="deliver", title="")
"""The order of a delivery from before orders were stored."""


def _result(unsettled: Unsettled) -> Result:
    return unsettled.result or Nothing(reason=f"on {unsettled.target_branch}")


def _settling(unsettled: Sequence[Unsettled], settled: Sequence[Settled]) -> Asked[Drawn]:
    return rows.SETTLE(
        tasks=[one.task_id for one in unsettled],
        directives=[one.id for one in unsettled],
        statuses=[s.status for s in settled],
        reasons=[s.reason for s in settled],
        branches=[s.branch for s in settled],
        rounds=[s.round for s in settled],
        urls=[s.url for s in settled],
        states=[s.state for s in settled],
        etags=[s.etag for s in settled],
        looks_in=[s.look_in for s in settled],
        looks=[s.looks for s in settled],
        delivered=[s.delivered for s in settled],
        verified=[s.verified for s in settled],
        fixes=[int(s.fix is not None) for s in settled],
        left_outs=[as_array(map(str, s.leave_out)) for s in settled],
        removed=[as_array(s.removed) for s in settled],
        heads=[as_array(s.heads) for s in settled],
        undelivered=[as_array(map(str, s.undelivered)) for s in settled],
        forgotten=[s.forgotten for s in settled],
    )


def _name(unsettled: Unsettled, step: UUID) -> str:
    return next((s.name for s in unsettled.steps if s.id == step), str(step))


async def run(context: Context, stop: asyncio.Event) -> None:
    """Complete until `stop` is set, while this completer leads."""
    context.ready()
    await lead(context.leadership, stop, partial(_work, context))


async def _work(context: Context, stop: asyncio.Event) -> None:
    reactor = Completer(context).reactor
    await serve(reactor, stop, partial(listen, context, CONSUMES, reactor))


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Run the completer's process until `stop` is set."""
    async with open_context(settings, "completer", EMITS, promises=False) as context:
        await run(context, stop)
