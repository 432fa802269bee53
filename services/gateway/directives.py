"""Directives: made, listed, shown, and their status changed by a person."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Protocol
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import FromPath, FromQuery, JSONBody

from services.gateway import steps
from services.gateway.access import SQL, Caller
from services.gateway.answers import DirectiveRow, DirectiveShown, answer, answers
from services.gateway.changes import activate, end_tasks, lock, refuse_bad_text, stop_tasks
from services.gateway.events import Limit
from services.gateway.idempotency import Once
from shared.config import Settings
from shared.domain.ids import new_id
from shared.domain.plans import PlannedStep
from shared.domain.statuses import DirectiveStatus, TransitionRefused, check_directive
from shared.messages.events import DirectiveChanged, DirectiveCreated
from shared.store.database import Asking, Database, Row

VERBS = {
    "start": DirectiveStatus.ACTIVE,
    "resume": DirectiveStatus.ACTIVE,
    "pause": DirectiveStatus.PAUSED,
    "archive": DirectiveStatus.ARCHIVED,
}


class NewDirective(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/directives."""

    title: Annotated[str, msgspec.Meta(min_length=1)]
    goal: str = ""
    repository_url: str | None = None
    base_branch: str | None = None
    agent: str | None = None
    on_failure: Literal["replan", "pause", "continue"] = "replan"
    max_parallel: Annotated[int, msgspec.Meta(ge=1)] = 4
    max_attempts: Annotated[int, msgspec.Meta(ge=1)] | None = None
    approve_plan: bool = False
    max_cost_usd: Annotated[float, msgspec.Meta(gt=0)] | None = None
    max_tokens: Annotated[int, msgspec.Meta(gt=0)] | None = None
    deadline: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    stop_now: bool = False
    merge_into_base: bool = False
    check: str | None = None
    steps: list[PlannedStep] | None = None
    start: bool = False


@post("/v1/directives")
async def create(
    data: JSONBody[NewDirective],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    once: NamedDependency[Once],
) -> DirectiveShown:
    """Make a directive, with or without its plan, started or as a draft."""
    _refuse_bad_texts(data)
    directive = new_id()
    warnings: list[str] = []
    async with database.unit_of_work("gateway.create") as unit:
        if known := await once.known(unit, DirectiveShown):
            return known
        await unit.rows(
            SQL["create"],
            {
                "id": directive,
                "owner": caller.person().owner,
                "title": data.title,
                "goal": data.goal,
                "repository": data.repository_url,
                "base": data.base_branch,
                "agent": data.agent,
                "on_failure": data.on_failure,
                "max_parallel": data.max_parallel,
                "max_attempts": data.max_attempts or settings.max_attempts,
                "approve_plan": data.approve_plan,
                "max_cost_usd": data.max_cost_usd,
                "max_tokens": data.max_tokens,
                "deadline": data.deadline,
                "stop_now": data.stop_now,
                "merge_into_base": data.merge_into_base,
                "check": data.check,
            },
        )
        unit.record(DirectiveCreated(directive=directive))
        if data.steps is not None:
            _, warnings = await steps.store(unit, await lock(unit, caller, directive), data.steps, caller)
        if data.start:
            await activate(unit, directive)
        made = await shown(unit, caller, directive)
        return await once.keep(unit, msgspec.structs.replace(made, warnings=warnings))


@get("/v1/directives")
async def list_directives(
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    status: FromQuery[DirectiveStatus | None] = None,
    before: FromQuery[UUID | None] = None,
    limit: Limit = 1000,
) -> list[DirectiveRow]:
    """The newest directives (before one, for the next page), oldest first."""
    asked = {"owner": caller.person().owner, "before": before, "status": status, "limit": limit}
    return answers(DirectiveRow, (await database.rows(SQL["list"], asked))[::-1])


@get("/v1/directives/{directive:uuid}")
async def show(
    directive: FromPath[UUID], caller: NamedDependency[Caller], database: NamedDependency[Database]
) -> DirectiveShown:
    """One directive with its steps."""
    return await shown(database, caller.on(directive), directive)


@post("/v1/directives/{directive:uuid}/{verb:str}", status_code=200)
async def change(
    directive: FromPath[UUID],
    verb: FromPath[str],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    once: NamedDependency[Once],
    version: FromQuery[int | None] = None,
    now: FromQuery[bool] = False,
) -> DirectiveShown:
    """Start, pause, resume or archive; 409 when it can't be from here, or `version` is an old one.

    Paused, running tasks finish, or (`now`) are ended and run again later. Archived, they are ended.
    """
    if verb not in VERBS:
        raise NotFoundException(f"a directive can't be asked to {verb}; it can: {', '.join(VERBS)}")
    status = VERBS[verb]
    reason = "paused by a person" if status is DirectiveStatus.PAUSED else None
    async with database.unit_of_work("gateway.change") as unit:
        if known := await once.known(unit, DirectiveShown):
            return known
        row = await lock(unit, caller.person(), directive, version)
        try:
            check_directive(DirectiveStatus(row["status"]), status)
        except TransitionRefused as error:
            raise HTTPException(str(error), status_code=409) from None
        if status is DirectiveStatus.ACTIVE:
            await activate(unit, directive)
        else:
            await unit.rows(SQL["set_status"], {"id": directive, "status": status.value, "reason": reason})
            unit.record(DirectiveChanged(directive=directive, status=status, reason=reason))
        if status is DirectiveStatus.ARCHIVED:
            await end_tasks(unit, directive, "the directive was archived")
        elif status is DirectiveStatus.PAUSED and now:
            await stop_tasks(unit, directive, "paused by a person")
        return await once.keep(unit, await shown(unit, caller, directive))


class Reader(Protocol):
    """Where rows are read: the database, or a unit of work."""

    async def rows_of_each(self, *asked: Asking) -> list[list[Row]]:
        """Run statements in one round trip."""


async def shown(reader: Reader, caller: Caller, directive: UUID) -> DirectiveShown:
    """The directive with its steps. Raises NotFoundException."""
    rows, of_steps = await reader.rows_of_each(
        (SQL["show"], {"id": directive, "owner": caller.owner}), (SQL["steps"], {"id": directive})
    )
    if not rows:
        raise NotFoundException(f"no directive {directive}")
    return answer(DirectiveShown, {**rows[0], "steps": of_steps})


def _refuse_bad_texts(new: NewDirective) -> None:
    if not new.title.strip() or not (new.goal.strip() or new.steps):
        raise HTTPException("a directive needs a title, and a goal or a plan", status_code=422)
    if new.goal:
        refuse_bad_text("goal", new.goal)
    if any(
        "\0" in text for text in (new.title, new.goal, new.repository_url or "", new.base_branch or "", new.check or "")
    ):
        raise HTTPException("a text holds a NUL byte; remove it", status_code=422)


ROUTES = (create, list_directives, show, change)
