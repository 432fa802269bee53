"""Why something waits, and the inbox of all that waits for a person: read, told in the rules' own words."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from services.gateway.access import VIEWER, VIEWER_OR_TASK, Caller
from services.gateway.http.problems import AnyRequest
from services.gateway.pages import NEXT, Cursor, Limit, after, page
from services.gateway.rows.why import (
    INBOX,
    WHY_CALLED,
    WHY_DIRECTIVE,
    WHY_FIND,
    WHY_SLOTS,
    WHY_STEPS,
    WHY_TASKS,
    Item,
)
from services.gateway.troubles import troubles
from shared.api.waiting import InboxItem, WhyShown
from shared.config import Settings
from shared.domain import explanation
from shared.domain.explanation import Scene, Slots, Step, Task, Why
from shared.domain.statuses import DirectiveStatus, StepStatus, TaskKind, TaskStatus
from shared.store.database import Database


class _Place(msgspec.Struct, frozen=True):
    since: datetime | None = None
    id: UUID | None = None


@get("/v1/why/{anything:uuid}", operation_id="explain", opt=VIEWER_OR_TASK, tags=["waiting"])
async def explain(
    anything: FromPath[UUID],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
) -> WhyShown:
    """Why a directive, a step or a task stands where it does; and what of the cluster is in trouble meanwhile."""
    found = await database.fetch_first(WHY_FIND(id=anything, owner=caller.owner))
    if found is None:
        raise NotFoundException(f"no directive, step or task {anything}")
    caller.on(found.directive_id)
    told = await scene(database, caller.owner, found.directive_id, anything)
    match found.kind:
        case "directive":
            answer = explanation.directive(told)
        case "step":
            answer = explanation.step(told, told.steps[anything])
        case "task":
            answer = explanation.task(told, next(t for t in told.tasks if t.id == anything))
    text, fix, called = answer.text, answer.fix, ""
    for thing in await database.fetch(WHY_CALLED(directive=found.directive_id, also=anything)):
        fix = fix and fix.replace(str(thing.id), thing.called)
        called = thing.called if thing.id == anything else called
    if broken := troubles(settings):
        text += f" (but {', '.join(f'{name}: {trouble}' for name, trouble in broken.items())})"
        fix = fix or "makima status"
    return WhyShown(
        id=anything,
        kind=found.kind,
        called=called,
        name=found.name,
        status=found.status,
        why=text,
        fix=fix,
        output=answer.output,
    )


@get("/v1/inbox", operation_id="listInbox", opt=VIEWER, tags=["waiting"], response_headers=[NEXT])
async def inbox(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    cursor: Cursor = None,
    limit: Limit = 1000,
) -> Response[list[InboxItem]]:
    """All that waits for a person, oldest first, each with the command that settles it. Empty: nothing needs you."""
    place = after(cursor, _Place, _Place())
    owner = caller.owner
    (slots,), found = await database.fetch_all(
        WHY_SLOTS(owner=owner), INBOX(owner=owner, after_at=place.since, after_id=place.id, limit=limit + 1)
    )
    return page(request, [_item(row, slots) for row in found], limit, lambda item: _Place(item.since, item.id))


async def scene(database: Database, owner: UUID, directive: UUID, also: UUID) -> Scene:
    """A directive with all that decides what it waits for; with the task `also`, even if it has ended."""
    (row,), (slots,), steps, tasks = await database.fetch_all(
        WHY_DIRECTIVE(directive=directive),
        WHY_SLOTS(owner=owner),
        WHY_STEPS(directive=directive),
        WHY_TASKS(directive=directive, also=also),
    )
    return Scene(
        id=directive,
        status=row.status,
        pause_reason=row.pause_reason,
        paused_for=row.paused_for,
        awaited_plan=row.awaited_plan,
        awaited=row.awaited,
        failures_pass=row.on_failure == "continue",
        max_parallel=row.max_parallel,
        requests=row.requests,
        delivered_to=row.delivered_to,
        delivery_outcome=row.delivery_outcome,
        delivery_output=row.delivery_output,
        undelivered=row.undelivered,
        steps={step.id: step for step in steps},
        tasks=tasks,
        slots=slots,
        now=row.now,
    )


def _item(row: Item, slots: Slots) -> InboxItem:
    text, command = _settled_by(row, slots)
    return InboxItem(
        id=row.id,
        since=row.since,
        kind=row.kind,
        directive_id=row.directive_id,
        called=row.task or str(row.number),
        title=row.title,
        text=text,
        options=row.options,
        command=command,
    )


def _settled_by(row: Item, slots: Slots) -> tuple[str, str]:
    """What waits, and the command that settles it."""
    this = str(row.number)
    if row.kind == "question":
        return f"{row.asker} asks: {row.text}", f"makima answer {row.task} {'N' if row.options else 'TEXT'}"
    if row.kind == "waiting":
        why = explanation.unable(slots)
        if row.text is not None:
            why = explanation.refused(_unsent(row, row.text), slots, row.number)
        told = why or Why(text="it is waited for a daemon")
        return told.text, (told.fix or f"makima why {this}").replace(
            str(row.failed_step), f"{this}/{row.failed_number}"
        )
    if row.kind == "approval":
        rest = "; the rest goes on" if row.status is DirectiveStatus.ACTIVE else ""
        return f"{explanation.awaiting(row.awaits_plan)}{rest}", explanation.approving(this)
    steps = {}
    if row.failed_step is not None:
        steps[row.failed_step] = Step(id=row.failed_step, status=StepStatus.FAILED, scripted=row.scripted)
    told_of = Scene(
        id=row.directive_id,
        status=row.status,
        paused_for=row.paused_for,
        undelivered=row.undelivered,
        steps=steps,
        now=row.since,
    )
    command = explanation.settling(told_of) or f"makima why {this}"
    step = f"{this}/{row.failed_number}"
    return row.text or "", command.replace(str(row.directive_id), this).replace(str(row.failed_step), step)


def _unsent(row: Item, reason: str) -> Task:
    return Task(
        id=row.id,
        kind=TaskKind.PLAN if row.task == f"{row.number}/plan" else TaskKind.STEP,
        name=row.title,
        status=TaskStatus.PENDING,
        step=row.failed_step,
        refused_for=reason,
        refusal=row.refusal,
    )


ROUTES = (explain, inbox)
