"""Why something waits, and the inbox of all that waits for a person: read, told in the rules' own words."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from services.gateway.access import Caller
from services.gateway.http.problems import AnyRequest
from services.gateway.pages import NEXT, Cursor, Limit, after, page
from services.gateway.rows.why import INBOX, WHY_CALLED, WHY_DIRECTIVE, WHY_FIND, WHY_STEPS, WHY_TASKS, Item
from services.gateway.troubles import troubles
from shared.api.waiting import InboxItem, WhyShown
from shared.config import Settings
from shared.domain import explanation
from shared.domain.explanation import Scene, Slots, Step
from shared.domain.statuses import StepStatus
from shared.store.database import Database


class _Place(msgspec.Struct, frozen=True):
    since: datetime | None = None
    id: UUID | None = None


@get("/v1/why/{anything:uuid}", operation_id="explain", tags=["waiting"])
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
    told = await scene(database, found.directive_id, anything)
    match found.kind:
        case "directive":
            answer = explanation.directive(told)
        case "step":
            answer = explanation.step(told, told.steps[anything])
        case "task":
            answer = explanation.task(told, next(t for t in told.tasks if t.id == anything))
    text, fix = answer.text, answer.fix
    if fix is not None:
        for thing in await database.fetch(WHY_CALLED(directive=found.directive_id)):
            fix = fix.replace(str(thing.id), thing.called)
    if broken := troubles(settings):
        text += f" (but {', '.join(f'{name}: {trouble}' for name, trouble in broken.items())})"
        fix = fix or "makima status"
    return WhyShown(
        id=anything, kind=found.kind, name=found.name, status=found.status, why=text, fix=fix, output=answer.output
    )


@get("/v1/inbox", operation_id="listInbox", tags=["waiting"], response_headers=[NEXT])
async def inbox(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    cursor: Cursor = None,
    limit: Limit = 1000,
) -> Response[list[InboxItem]]:
    """All that waits for a person, oldest first, each with the command that settles it. Empty: nothing needs you."""
    place = after(cursor, _Place, _Place())
    asked = INBOX(owner=caller.person().owner, after_at=place.since, after_id=place.id, limit=limit + 1)
    found = await database.fetch(asked)
    return page(request, [_item(row) for row in found], limit, lambda item: _Place(item.since, item.id))


async def scene(database: Database, directive: UUID, also: UUID) -> Scene:
    """A directive with all that decides what it waits for; with the task `also`, even if it has ended."""
    (row,), steps, tasks = await database.fetch_all(
        WHY_DIRECTIVE(directive=directive), WHY_STEPS(directive=directive), WHY_TASKS(directive=directive, also=also)
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
        slots=Slots(
            daemons=row.daemons,
            capacity=row.capacity,
            running=row.running,
            max_running=row.max_running,
            refusing=row.refusing,
        ),
        now=row.now,
    )


def _item(row: Item) -> InboxItem:
    return InboxItem(
        id=row.id,
        since=row.since,
        kind=row.kind,
        directive_id=row.directive_id,
        title=row.title,
        text=row.text,
        command=_command(row),
    )


def _command(row: Item) -> str:
    """The command that settles it."""
    if row.kind == "question":
        return f"makima answer {row.id} TEXT"
    if row.kind == "waiting":
        return "makima daemon list, and makima doctor"
    steps = {}
    if row.failed_step is not None:
        steps[row.failed_step] = Step(id=row.failed_step, status=StepStatus.FAILED)
    told = Scene(id=row.directive_id, status=row.status, paused_for=row.paused_for, steps=steps, now=row.since)
    command = explanation.settling(told) or f"makima why {row.directive_id}"
    step = f"{row.number}/{row.failed_number}"
    return command.replace(str(row.directive_id), str(row.number)).replace(str(row.failed_step), step)


ROUTES = (explain, inbox)
