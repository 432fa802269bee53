"""Orders: small work items, linked to a directive and picked up by its planner."""

from __future__ import annotations

from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import FromPath, FromQuery, JSONBody

from services.gateway.access import OPERATOR, OPERATOR_OR_TASK, VIEWER_OR_TASK, Caller
from services.gateway.effects import activate, request_plan, settle_orders
from services.gateway.http.problems import AnyRequest
from services.gateway.pages import NEXT, Cursor, Limit, after, page
from services.gateway.rows.orders import (
    ADD_ORDER,
    CANCEL_ORDER,
    LINK_ORDER,
    LIST_ORDERS,
    OPEN_ORDERS,
    ORDER_OF_STEP,
    OWN_ORDER,
    SERVE_ORDERS,
    SHOW_ORDER,
    STEP_IN_FORCE,
    Order,
)
from services.gateway.showing import show, show_all, shown
from services.gateway.texts import refuse_bad_text
from services.gateway.transactions import Change, DirectiveChange, lock, refuse_archived, refuse_ended
from services.gateway.versions import ETAG
from shared.api.directives import DirectiveShown
from shared.api.orders import Link, NewOrder, OrderShown
from shared.domain.ids import new_id
from shared.domain.orders import Priority
from shared.domain.statuses import DirectiveStatus, OrderStatus, TaskKind
from shared.messages.events import OrderChanged
from shared.store.database import Database, UnitOfWork


class _Place(msgspec.Struct, frozen=True):
    priority: Priority | None = None
    id: UUID | None = None


@post("/v1/orders", operation_id="addOrder", opt=OPERATOR, tags=["orders"])
async def add_order(
    data: JSONBody[NewOrder], caller: NamedDependency[Caller], change: NamedDependency[Change]
) -> Response[OrderShown]:
    """Add an order, open, linked to a directive or to none yet."""
    refuse_bad_text("title", data.title)
    if data.description:
        refuse_bad_text("description", data.description)
    owner = caller.owner
    async with change.begin("gateway.add_order") as begun:
        if data.directive is not None:
            await lock(begun.unit, caller, data.directive)
        made = await begun.unit.fetch_one(
            ADD_ORDER(
                id=new_id(),
                owner=owner,
                directive=data.directive,
                title=data.title,
                description=data.description,
                priority=data.priority,
                order_type=data.order_type,
            )
        )
        begun.unit.record(OrderChanged(directive=made.directive_id, order=made.id, status=made.status))
        return begun.answer(show(OrderShown, made))


@get("/v1/orders", operation_id="listOrders", opt=VIEWER_OR_TASK, tags=["orders"], response_headers=[NEXT])
async def list_orders(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    directive: FromQuery[UUID | None] = None,
    status: FromQuery[OrderStatus | None] = None,
    cursor: Cursor = None,
    limit: Limit = 1000,
) -> Response[list[OrderShown]]:
    """Orders, the most urgent first."""
    if directive is not None:
        caller.on(directive)
    else:
        caller.no_task()
    place = after(cursor, _Place, _Place())
    asked = LIST_ORDERS(
        owner=caller.owner,
        directive=directive,
        status=status,
        after_priority=place.priority,
        after_id=place.id,
        limit=limit + 1,
    )
    found = show_all(OrderShown, await database.fetch(asked))
    return page(request, found, limit, lambda order: _Place(order.priority, order.id))


@post("/v1/orders/{order:uuid}/link", status_code=200, operation_id="linkOrder", opt=OPERATOR_OR_TASK, tags=["orders"])
async def link_order(
    order: FromPath[UUID], data: JSONBody[Link], caller: NamedDependency[Caller], change: NamedDependency[Change]
) -> Response[OrderShown]:
    """Link an open order to a directive; or, with a step of it, an order to the step that serves it.

    A planning may do the latter, for the orders of its directive: that comes into force with its plan.
    """
    if data.step is None or caller.kind != TaskKind.PLAN:
        caller.no_task()
    caller.on(data.directive)
    async with change.begin("gateway.link_order") as begun:
        await lock(begun.unit, caller, data.directive)
        await refuse_ended(begun.unit, caller)
        await _refuse_unknown(begun.unit, caller, order)
        if data.step is None:
            linked = await _link(begun.unit, caller, order, data.directive)
        else:
            linked = await _serve(begun.unit, caller, order, data.directive, data.step)
        begun.unit.record(OrderChanged(directive=data.directive, order=order, status=linked.status))
        return begun.answer(show(OrderShown, linked))


async def _refuse_unknown(unit: UnitOfWork, caller: Caller, order: UUID) -> None:
    """Raise NotFoundException for an order that is none of the owner's."""
    if not await unit.fetch(OWN_ORDER(order=order, owner=caller.owner)):
        raise NotFoundException(f"no order {order}")


async def _link(unit: UnitOfWork, caller: Caller, order: UUID, directive: UUID) -> Order:
    linked = await unit.fetch_first(LINK_ORDER(order=order, owner=caller.owner, directive=directive))
    if linked is None:
        raise HTTPException(f"order {order} is not open", status_code=409)
    return linked


async def _serve(unit: UnitOfWork, caller: Caller, order: UUID, directive: UUID, step: UUID) -> Order:
    """The order, with a step that serves it from now on, or with its plan; a person's becomes the directive's."""
    shown = SHOW_ORDER(order=order, owner=caller.owner, directive=directive)
    if caller.task is None and not await unit.fetch(shown):
        await _link(unit, caller, order, directive)
    if not await unit.fetch(STEP_IN_FORCE(step=step, directive=directive)):
        raise HTTPException(f"step {step} is no step of directive {directive}, or about to go", status_code=409)
    served = await unit.fetch(SERVE_ORDERS(directive=directive, steps=[step], orders=[order], held_by=caller.task))
    if not served and not await unit.fetch(ORDER_OF_STEP(order=order, step=step)):
        raise HTTPException(f"order {order} isn't linked to this directive, or was cancelled", status_code=409)
    await settle_orders(unit, [order])
    return await unit.fetch_one(shown)


@post("/v1/orders/{order:uuid}/cancel", status_code=200, operation_id="cancelOrder", opt=OPERATOR, tags=["orders"])
async def cancel_order(
    order: FromPath[UUID], caller: NamedDependency[Caller], change: NamedDependency[Change]
) -> Response[OrderShown]:
    """Cancel an order; steps that serve it stay."""
    owner = caller.owner
    async with change.begin("gateway.cancel_order") as begun:
        await _refuse_unknown(begun.unit, caller, order)
        cancelled = await begun.unit.fetch_first(CANCEL_ORDER(order=order, owner=owner))
        if cancelled is None:
            raise HTTPException(f"order {order} is done or cancelled already", status_code=409)
        begun.unit.record(OrderChanged(directive=cancelled.directive_id, order=order, status=cancelled.status))
        return begun.answer(show(OrderShown, cancelled))


@post(
    "/v1/directives/{directive:uuid}/pick-up",
    status_code=200,
    operation_id="pickUpOrders",
    opt=OPERATOR,
    tags=["orders"],
    response_headers=[ETAG],
)
async def pick_up(
    directive: FromPath[UUID],
    caller: NamedDependency[Caller],
    directive_change: NamedDependency[DirectiveChange],
) -> Response[DirectiveShown]:
    """Planning is due for the directive's open orders; what is delivered already opens again."""
    async with directive_change.begin_on("gateway.pick_up", directive) as begun:
        refuse_archived(begun.directive)
        if not await begun.unit.fetch_one(OPEN_ORDERS(directive=directive)):
            raise HTTPException(
                f"no open order is linked to directive {directive}: `makima order link ORDER {directive}`",
                status_code=409,
            )
        request_plan(begun.unit, directive, "orders", {})
        if begun.directive.status in (DirectiveStatus.IDLE, DirectiveStatus.COMPLETED):
            await activate(begun.unit, directive)
        return begun.answer(await shown(begun.unit, caller, directive))


ROUTES = (add_order, list_orders, link_order, cancel_order, pick_up)
