"""Why something waits, and the inbox of all that waits for a person: read, told in the rules' own words."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from services.gateway import health
from services.gateway.access import SQL, Caller
from shared.config import Settings
from shared.domain import why
from shared.domain.statuses import DirectiveStatus, PauseCause, StepStatus
from shared.domain.why import Scene, Slots, Step, Task
from shared.store.database import Database


class WhyShown(msgspec.Struct, frozen=True, kw_only=True):
    """What something waits for, in words, and what would move it on (None: it goes on by itself)."""

    id: UUID
    kind: str
    """directive, step or task."""
    name: str
    status: str
    why: str
    mend: str | None


class InboxItem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that waits for a person: since when, what, and the command that settles it."""

    since: datetime
    kind: str
    """question, approval, paused, or waiting."""
    directive_id: UUID
    title: str
    text: str
    command: str


@get("/v1/why/{anything:uuid}")
async def explain(
    anything: FromPath[UUID],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
) -> WhyShown:
    """Why a directive, a step or a task stands where it does; and what of the cluster is in trouble meanwhile."""
    found = await database.rows(SQL["why_find"], {"id": anything, "owner": caller.owner})
    if not found:
        raise NotFoundException(f"no directive, step or task {anything}")
    kind, directive = found[0]["kind"], found[0]["directive_id"]
    caller.on(directive)
    told = await scene(database, directive, anything)
    if kind == "directive":
        answer = why.directive(told)
    elif kind == "step":
        answer = why.step(told, told.steps[anything])
    else:
        answer = why.task(told, next(t for t in told.tasks if t.id == anything))
    text, mend = answer.text, answer.mend
    if broken := health.troubles(settings):
        text += f" (but {', '.join(f'{name}: {trouble}' for name, trouble in broken.items())})"
        mend = mend or "makima status"
    return WhyShown(id=anything, kind=kind, name=found[0]["name"], status=found[0]["status"], why=text, mend=mend)


@get("/v1/inbox")
async def inbox(caller: NamedDependency[Caller], database: NamedDependency[Database]) -> list[InboxItem]:
    """All that waits for a person, oldest first, each with the command that settles it. Empty: nothing needs you."""
    rows = await database.rows(SQL["inbox"], {"owner": caller.person().owner})
    return [_item(row) for row in rows]


async def scene(database: Database, directive: UUID, also: UUID) -> Scene:
    """A directive with all that decides what it waits for; with the task `also`, even if it has ended."""
    asked = {"directive": directive, "also": also}
    row = (await database.rows(SQL["why_directive"], asked))[0]
    steps = await database.rows(SQL["why_steps"], asked)
    tasks = await database.rows(SQL["why_tasks"], asked)
    return Scene(
        id=directive,
        status=DirectiveStatus(row["status"]),
        pause_reason=row["pause_reason"],
        paused_for=PauseCause(row["paused_for"]) if row["paused_for"] else None,
        awaited_plan=row["awaited_plan"],
        awaited=tuple(row["awaited"]),
        failures_pass=row["on_failure"] == "continue",
        max_parallel=row["max_parallel"],
        requests=row["requests"],
        delivered_to=row["delivered_to"],
        delivery_outcome=row["delivery_outcome"],
        undelivered=row["undelivered"],
        steps={s["id"]: msgspec.convert(s, Step) for s in steps},
        tasks=[msgspec.convert(t, Task) for t in tasks],
        slots=Slots(
            daemons=row["daemons"],
            capacity=row["capacity"],
            running=row["running"],
            max_running=row["max_running"],
            refusing=tuple(row["refusing"]),
        ),
        now=row["now"],
    )


def _item(row: dict[str, Any]) -> InboxItem:
    if row["kind"] == "question":
        command = f"makima answer {row['id']} TEXT"
    elif row["kind"] == "waiting":
        command = "makima daemon list, and makima doctor"
    else:
        steps = {}
        if row["failed_step"] is not None:
            failed = Step(id=row["failed_step"], status=StepStatus.FAILED)
            steps = {failed.id: failed}
        told = Scene(
            id=row["id"],
            status=DirectiveStatus(row["status"]),
            paused_for=PauseCause(row["paused_for"]) if row["paused_for"] else None,
            steps=steps,
            now=row["since"],
        )
        command = why.settling(told) or f"makima why {row['id']}"
    return InboxItem(
        since=row["since"],
        kind=row["kind"],
        directive_id=row["directive_id"],
        title=row["title"],
        text=row["text"],
        command=command,
    )


ROUTES = (explain, inbox)
