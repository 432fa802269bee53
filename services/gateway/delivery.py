"""What a delivery's agent, or a person, says of it: its pull request, and that it is done (rule 13)."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.params import FromPath, JSONBody

from services.gateway.access import SQL, Caller
from services.gateway.answers import DirectiveShown
from services.gateway.changes import lock
from services.gateway.directives import shown
from shared.config import Settings
from shared.domain.forge import forge_of, pull_request_url
from shared.domain.statuses import DirectiveStatus, TaskKind, TransitionRefused, check_directive
from shared.messages.events import DirectiveChanged
from shared.store.database import Database


class DeliveryTold(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/directives/{id}/delivery."""

    pr_url: str | None = None
    status: Literal["completed"] | None = None


@post("/v1/directives/{directive:uuid}/delivery", status_code=200)
async def tell(
    directive: FromPath[UUID],
    data: JSONBody[DeliveryTold],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
) -> DirectiveShown:
    """Record a pull request of the directive's own repository, or that the directive is completed."""
    caller.on(directive)
    if data.pr_url is None and data.status is None:
        raise HTTPException("give a pull request (--pr-url URL), or --status completed", status_code=422)
    if caller.kind not in (None, TaskKind.COMPLETION, TaskKind.VERIFICATION):
        raise PermissionDeniedException("only a person, or the delivery's own task, may tell of its delivery")
    async with database.unit_of_work("gateway.tell_delivery") as unit:
        row = await lock(unit, caller, directive)
        url = None
        if data.pr_url is not None:
            url = pull_request_url(forge_of(row["repository_url"], settings.forges), None, data.pr_url)
            if url is None:
                where = row["repository_url"] or "no repository"
                raise HTTPException(
                    f"{data.pr_url!r} is no pull request of this directive's repository ({where})", status_code=422
                )
        if data.status and row["status"] != data.status:
            try:
                check_directive(DirectiveStatus(row["status"]), DirectiveStatus(data.status))
            except TransitionRefused as error:
                raise HTTPException(str(error), status_code=409) from None
        told = (await unit.rows(SQL["tell_delivery"], {"id": directive, "url": url, "status": data.status}))[0]
        who = "a person" if caller.task is None else "its delivery"
        reason = f"{url} recorded by {who}" if data.status is None else f"{who} said that it is completed"
        unit.record(
            DirectiveChanged(directive=directive, status=told["status"], reason=reason, version=told["version"])
        )
        return await shown(unit, caller, directive)


ROUTES = (tell,)
