"""What a delivery's agent, or a person, says of it: its pull request, and that it is done (rule 13)."""

from __future__ import annotations

from uuid import UUID

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.params import FromPath, JSONBody

from services.gateway.access import OPERATOR, OPERATOR_OR_TASK, Caller
from services.gateway.rows.delivery import LOOK_NOW, TELL_DELIVERY
from services.gateway.rows.directives import LockedDirective
from services.gateway.showing import shown
from services.gateway.transactions import DirectiveChange
from shared.api.directives import DeliveryTold, DirectiveShown
from shared.config import Settings
from shared.domain.forge import forge_of, pull_request_url
from shared.domain.statuses import DELIVERY_KINDS, DirectiveStatus, TransitionRefused, check_directive
from shared.messages.events import DirectiveChanged


@post(
    "/v1/directives/{directive:uuid}/delivery",
    status_code=200,
    operation_id="tellDelivery",
    opt=OPERATOR_OR_TASK,
    tags=["directives"],
)
async def tell(
    directive: FromPath[UUID],
    data: JSONBody[DeliveryTold],
    caller: NamedDependency[Caller],
    directive_change: NamedDependency[DirectiveChange],
    settings: NamedDependency[Settings],
) -> Response[DirectiveShown]:
    """Record a pull request of the directive's own repository, or that the directive is completed."""
    caller.on(directive)
    if data.pr_url is None and data.status is None:
        raise HTTPException("give a pull request (--pr-url URL), or --status completed", status_code=422)
    if caller.kind is not None and caller.kind not in DELIVERY_KINDS:
        raise PermissionDeniedException("only a person, or the delivery's own task, may tell of its delivery")
    async with directive_change.begin_on("gateway.tell_delivery", directive) as begun:
        url = _own_pull_request(data.pr_url, begun.directive, settings) if data.pr_url is not None else None
        if data.status and begun.directive.status != data.status:
            try:
                check_directive(begun.directive.status, DirectiveStatus(data.status))
            except TransitionRefused as error:
                raise HTTPException(str(error), status_code=409) from None
        told = await begun.unit.fetch_one(TELL_DELIVERY(id=directive, url=url, status=data.status))
        who = "a person" if caller.task is None else "its delivery"
        reason = f"{url} recorded by {who}" if data.status is None else f"{who} said that it is completed"
        begun.unit.record(
            DirectiveChanged(directive=directive, status=told.status, reason=reason, version=told.version)
        )
        return begun.answer(await shown(begun.unit, caller, directive))


@post(
    "/v1/directives/{directive:uuid}/look", status_code=200, operation_id="lookNow", opt=OPERATOR, tags=["directives"]
)
async def look_now(
    directive: FromPath[UUID],
    caller: NamedDependency[Caller],
    directive_change: NamedDependency[DirectiveChange],
) -> Response[DirectiveShown]:
    """Have its open pull request looked at now, instead of when it is due."""
    async with directive_change.begin_on("gateway.look_now", directive) as begun:
        due = await begun.unit.fetch_first(LOOK_NOW(id=directive))
        if due is None or due.status is not DirectiveStatus.IDLE:
            raise HTTPException("it waits for no open pull request: there is nothing to look at", status_code=409)
        reason = "a person asked to look at its pull request now"
        begun.unit.record(DirectiveChanged(directive=directive, status=due.status, reason=reason, version=due.version))
        return begun.answer(await shown(begun.unit, caller, directive))


def _own_pull_request(told: str, directive: LockedDirective, settings: Settings) -> str:
    """The address of a pull request of the directive's repository. Raises HTTPException 422 for any other."""
    url = pull_request_url(forge_of(directive.repository_url, settings.forges), None, told)
    if url is None:
        where = directive.repository_url or "no repository"
        raise HTTPException(f"{told!r} is no pull request of this directive's repository ({where})", status_code=422)
    return url


ROUTES = (tell, look_now)
