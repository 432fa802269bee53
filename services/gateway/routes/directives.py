"""Directives: made, listed, shown, and their status changed by a person."""

from __future__ import annotations

from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.params import FromPath, FromQuery, JSONBody

from services.gateway.access import OPERATOR, VIEWER, VIEWER_OR_TASK, Caller
from services.gateway.batches import store
from services.gateway.effects import activate, end_tasks, stop_tasks
from services.gateway.http.problems import AnyRequest
from services.gateway.pages import NEXT, Cursor, Limit, after, page
from services.gateway.rows.directives import CREATE, LIST, SET_STATUS
from services.gateway.rows.steps import OFFERS
from services.gateway.showing import masked, show, shown
from services.gateway.texts import refuse_bad_text, refuse_nul, refuse_reserved
from services.gateway.transactions import Change, DirectiveChange, lock
from services.gateway.versions import ETAG, LOCATION, etag
from shared.api.directives import DirectiveListed, DirectiveShown, NewDirective
from shared.config import Settings
from shared.domain.ids import new_id
from shared.domain.offers import no_such_agent
from shared.domain.repositories import is_elsewhere
from shared.domain.statuses import DirectiveStatus, TransitionRefused, check_directive
from shared.messages.events import DirectiveChanged, DirectiveCreated
from shared.store.database import Database, UnitOfWork

PAUSED = "paused by a person"


class _Place(msgspec.Struct, frozen=True):
    id: UUID | None = None


@post(
    "/v1/directives",
    operation_id="createDirective",
    opt=OPERATOR,
    tags=["directives"],
    response_headers=[ETAG, LOCATION],
)
async def create(
    data: JSONBody[NewDirective],
    caller: NamedDependency[Caller],
    settings: NamedDependency[Settings],
    change: NamedDependency[Change],
) -> Response[DirectiveShown]:
    """Make a directive, with or without its plan, started or as a draft."""
    _refuse_bad_texts(data)
    _refuse_folder(data.repository_url, caller, settings)
    directive, owner = new_id(), caller.owner
    warnings: list[str] = []
    async with change.begin("gateway.create") as begun:
        begun.unit.execute(
            CREATE(
                id=directive,
                owner=owner,
                title=data.title,
                goal=data.goal,
                repository=data.repository_url,
                base=data.base_branch,
                agent=data.agent,
                on_failure=data.on_failure,
                max_parallel=data.max_parallel,
                max_attempts=data.max_attempts or settings.max_attempts,
                approve_plan=data.approve_plan,
                max_cost_usd=data.max_cost_usd,
                max_tokens=data.max_tokens,
                deadline=data.deadline,
                stop_now=data.stop_now,
                merge_into_base=data.merge_into_base,
                check=data.check,
            )
        )
        begun.unit.record(DirectiveCreated(directive=directive))
        if data.steps is not None:
            locked = await lock(begun.unit, caller, directive)
            _, warnings = await store(begun.unit, locked, data.steps, caller, settings)
        if data.agent is not None:
            offers = await begun.unit.fetch(OFFERS(owner=owner))
            warnings = [*no_such_agent(data.agent, offers), *warnings]
        if data.start:
            await activate(begun.unit, directive)
        made = await shown(begun.unit, caller, directive)
        return begun.answer(msgspec.structs.replace(made, warnings=warnings), f"/v1/directives/{directive}")


@get("/v1/directives", operation_id="listDirectives", opt=VIEWER, tags=["directives"], response_headers=[NEXT])
async def list_directives(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    status: FromQuery[DirectiveStatus | None] = None,
    cursor: Cursor = None,
    limit: Limit = 1000,
) -> Response[list[DirectiveListed]]:
    """The owner's directives, the newest first."""
    before = after(cursor, _Place, _Place()).id
    asked = LIST(owner=caller.owner, before=before, status=status, limit=limit + 1)
    found = [masked(show(DirectiveListed, row)) for row in await database.fetch(asked)]
    return page(request, found, limit, lambda directive: _Place(directive.id))


@get(
    "/v1/directives/{directive:uuid}",
    operation_id="showDirective",
    opt=VIEWER_OR_TASK,
    tags=["directives"],
    response_headers=[ETAG],
)
async def show_directive(
    directive: FromPath[UUID], caller: NamedDependency[Caller], database: NamedDependency[Database]
) -> Response[DirectiveShown]:
    """One directive with its steps."""
    found = await shown(database, caller.on(directive), directive)
    return Response(found, headers=etag(found))


@post(
    "/v1/directives/{directive:uuid}/start",
    status_code=200,
    operation_id="startDirective",
    opt=OPERATOR,
    tags=["directives"],
    response_headers=[ETAG],
)
async def start(
    directive: FromPath[UUID],
    caller: NamedDependency[Caller],
    directive_change: NamedDependency[DirectiveChange],
) -> Response[DirectiveShown]:
    """Start a draft: it is planned, where it has no steps yet, and what may run runs."""
    return await _move(directive_change, caller, directive, DirectiveStatus.ACTIVE)


@post(
    "/v1/directives/{directive:uuid}/resume",
    status_code=200,
    operation_id="resumeDirective",
    opt=OPERATOR,
    tags=["directives"],
    response_headers=[ETAG],
)
async def resume(
    directive: FromPath[UUID],
    caller: NamedDependency[Caller],
    directive_change: NamedDependency[DirectiveChange],
) -> Response[DirectiveShown]:
    """Let a paused directive go on."""
    return await _move(directive_change, caller, directive, DirectiveStatus.ACTIVE)


@post(
    "/v1/directives/{directive:uuid}/pause",
    status_code=200,
    operation_id="pauseDirective",
    opt=OPERATOR,
    tags=["directives"],
    response_headers=[ETAG],
)
async def pause(
    directive: FromPath[UUID],
    caller: NamedDependency[Caller],
    directive_change: NamedDependency[DirectiveChange],
    settings: NamedDependency[Settings],
    now: FromQuery[bool] = False,
) -> Response[DirectiveShown]:
    """Begin nothing new. Running tasks finish, or (`now`) are ended and run again later."""
    directive_change.even_when_the_disk_is_full(settings)
    return await _move(directive_change, caller, directive, DirectiveStatus.PAUSED, stops=now)


@post(
    "/v1/directives/{directive:uuid}/archive",
    status_code=200,
    operation_id="archiveDirective",
    opt=OPERATOR,
    tags=["directives"],
    response_headers=[ETAG],
)
async def archive(
    directive: FromPath[UUID],
    caller: NamedDependency[Caller],
    directive_change: NamedDependency[DirectiveChange],
    settings: NamedDependency[Settings],
) -> Response[DirectiveShown]:
    """End a directive for good: whatever runs is ended, and nothing of it changes any more."""
    directive_change.even_when_the_disk_is_full(settings)
    return await _move(directive_change, caller, directive, DirectiveStatus.ARCHIVED)


async def _move(
    directive_change: DirectiveChange, caller: Caller, directive: UUID, to: DirectiveStatus, stops: bool = False
) -> Response[DirectiveShown]:
    """Bring a directive to a status that a person asks for. Raises HTTPException 409 when it can't be from here."""
    async with directive_change.begin_on("gateway.change", directive) as begun:
        ends_more = stops and begun.directive.status is to
        if not ends_more:
            _refuse_transition(begun.directive.status, to)
            await _set(begun.unit, directive, to)
        if to is DirectiveStatus.ARCHIVED:
            await end_tasks(begun.unit, directive, "the directive was archived")
        elif stops:
            await stop_tasks(begun.unit, directive, PAUSED)
        return begun.answer(await shown(begun.unit, caller, directive))


async def _set(unit: UnitOfWork, directive: UUID, to: DirectiveStatus) -> None:
    if to is DirectiveStatus.ACTIVE:
        await activate(unit, directive)
        return
    reason = PAUSED if to is DirectiveStatus.PAUSED else None
    version = await unit.fetch_one(SET_STATUS(id=directive, status=to, reason=reason))
    unit.record(DirectiveChanged(directive=directive, status=to, reason=reason, version=version))


def _refuse_transition(status: DirectiveStatus, to: DirectiveStatus) -> None:
    try:
        check_directive(status, to)
    except TransitionRefused as error:
        raise HTTPException(str(error), status_code=409) from None


def _refuse_folder(repository: str | None, caller: Caller, settings: Settings) -> None:
    """Raise PermissionDeniedException for a folder of the cluster's machine, where other owners' work may lie.

    It is for the cluster's own owner, and for its administrator.
    """
    if repository is None or caller.cluster or caller.owner_name == settings.owner or is_elsewhere(repository):
        return
    raise PermissionDeniedException(
        f"{caller.owner_name}'s repositories are elsewhere, as https://HOST/PATH, ssh://HOST/PATH or HOST:PATH: "
        "one in a folder of the cluster's machine is for the cluster's administrator to give"
    )


def _refuse_bad_texts(new: NewDirective) -> None:
    if not new.title.strip() or not (new.goal.strip() or new.steps):
        raise HTTPException("a directive needs a title, and a goal or a plan", status_code=422)
    if new.goal:
        refuse_bad_text("goal", new.goal)
    refuse_reserved(new.agent)
    refuse_nul("text", new.title, new.repository_url, new.base_branch, new.check, new.agent)


ROUTES = (create, list_directives, show_directive, start, resume, pause, archive)
