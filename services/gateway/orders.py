"""Orders: small work items, linked to a directive and picked up by its planner."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody

from services.gateway.access import SQL, Caller
from services.gateway.answers import DirectiveShown, answer, answers
from services.gateway.changes import activate, lock, refuse_bad_text, request_plan
from services.gateway.directives import shown
from services.gateway.idempotency import Once
from shared.domain.ids import new_id
from shared.domain.orders import OrderType, Priority
from shared.domain.statuses import DirectiveStatus, OrderStatus
from shared.messages.events import OrderChanged
from shared.store.database import Database


class NewOrder(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/orders."""

    title: Annotated[str, msgspec.Meta(max_length=500)]
    description: str = ""
    priority: Priority = Priority.MEDIUM
    order_type: OrderType = OrderType.FEATURE
    directive: UUID | None = None


class Link(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/orders/{id}/link."""

    directive: UUID


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """An order, with the steps that serve it."""

    id: UUID
    title: str
    description: str
    priority: Priority
    order_type: OrderType
    status: OrderStatus
    directive_id: UUID | None
    created_at: datetime
    version: int
    steps: list[UUID] = []


@post("/v1/orders")
async def add_order(
    data: JSONBody[NewOrder],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    once: NamedDependency[Once],
) -> OrderRow:
    """Add an order, open, linked to a directive or to none yet."""
    refuse_bad_text("title", data.title)
    if data.description:
        refuse_bad_text("description", data.description)
    async with database.unit_of_work("gateway.add_order") as unit:
        if known := await once.known(unit, OrderRow):
            return known
        if data.directive is not None:
            await lock(unit, caller.person(), data.directive)
        columns = {
            "id": new_id(),
            "owner": caller.person().owner,
            "directive": data.directive,
            "title": data.title,
            "description": data.description,
            "priority": data.priority,
            "order_type": data.order_type,
        }
        made = answer(OrderRow, (await unit.rows(SQL["add_order"], columns))[0])
        unit.record(OrderChanged(directive=made.directive_id, order=made.id, status=made.status))
        return await once.keep(unit, made)


@get("/v1/orders")
async def list_orders(
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    directive: FromQuery[UUID | None] = None,
    status: FromQuery[OrderStatus | None] = None,
) -> list[OrderRow]:
    """Orders, the most urgent first."""
    if directive is not None:
        caller.on(directive)
    else:
        caller.person()
    asked = {"owner": caller.owner, "directive": directive, "status": status}
    return answers(OrderRow, await database.rows(SQL["list_orders"], asked))


@post("/v1/orders/{order:uuid}/link", status_code=200)
async def link_order(
    order: FromPath[UUID], data: JSONBody[Link], caller: NamedDependency[Caller], database: NamedDependency[Database]
) -> OrderRow:
    """Link an open order to a directive."""
    async with database.unit_of_work("gateway.link_order") as unit:
        await lock(unit, caller.person(), data.directive)
        rows = await unit.rows(SQL["link_order"], {"order": order, "owner": caller.owner, "directive": data.directive})
        if not rows:
            raise HTTPException(f"order {order} is not there, or not open", status_code=409)
        unit.record(OrderChanged(directive=data.directive, order=order, status=rows[0]["status"]))
        return answer(OrderRow, rows[0])


@post("/v1/orders/{order:uuid}/cancel", status_code=200)
async def cancel_order(
    order: FromPath[UUID], caller: NamedDependency[Caller], database: NamedDependency[Database]
) -> OrderRow:
    """Cancel an order; steps that serve it stay."""
    async with database.unit_of_work("gateway.cancel_order") as unit:
        rows = await unit.rows(SQL["cancel_order"], {"order": order, "owner": caller.person().owner})
        if not rows:
            raise HTTPException(f"order {order} is not there, or done or cancelled already", status_code=409)
        unit.record(OrderChanged(directive=rows[0]["directive_id"], order=order, status=rows[0]["status"]))
        return answer(OrderRow, rows[0])


@post("/v1/directives/{directive:uuid}/pick-up", status_code=200)
async def pick_up(
    directive: FromPath[UUID],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    once: NamedDependency[Once],
) -> DirectiveShown:
    """Planning is due for the directive's open orders; what is delivered already opens again."""
    async with database.unit_of_work("gateway.pick_up") as unit:
        if known := await once.known(unit, DirectiveShown):
            return known
        row = await lock(unit, caller.person(), directive)
        if row["status"] == DirectiveStatus.ARCHIVED:
            raise HTTPException("the directive is archived: nothing of it changes any more", status_code=409)
        if not (await unit.rows(SQL["open_orders"], {"directive": directive}))[0]["open"]:
            raise HTTPException(
                f"no open order is linked to directive {directive}: `makima order link ORDER {directive}`",
                status_code=409,
            )
        await request_plan(unit, directive, "orders", {})
        if row["status"] in (DirectiveStatus.IDLE, DirectiveStatus.COMPLETED):
            await activate(unit, directive)
        return await once.keep(unit, await shown(unit, caller, directive))


ROUTES = (add_order, list_orders, link_order, cancel_order, pick_up)
