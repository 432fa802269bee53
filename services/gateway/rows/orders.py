"""Orders: placed, linked, cancelled, served by steps."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from services.gateway.rows import SQL
from shared.domain.orders import OrderType, Priority
from shared.domain.statuses import OrderStatus


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order, with the steps that serve it."""

    id: UUID
    number: int
    title: str
    description: str
    priority: Priority
    order_type: OrderType
    status: OrderStatus
    directive_id: UUID | None
    created_at: datetime
    version: int
    steps: list[UUID]


class SettledOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that the steps serving it have moved."""

    id: UUID
    directive_id: UUID | None
    status: OrderStatus


SERVE_ORDERS = SQL.query("serve_orders", UUID)
ORDERS_OF_STEPS = SQL.query("orders_of_steps", UUID)
SETTLE_ORDERS = SQL.query("settle_orders", SettledOrder)
SETTLE_THESE_ORDERS = SQL.query("settle_these_orders", SettledOrder)
ADD_ORDER = SQL.query("add_order", Order)
LIST_ORDERS = SQL.query("list_orders", Order)
LINK_ORDER = SQL.query("link_order", Order)
SHOW_ORDER = SQL.query("show_order", Order)
OWN_ORDER = SQL.query("own_order", UUID)
ORDER_OF_STEP = SQL.query("order_of_step", UUID)
STEP_IN_FORCE = SQL.query("step_in_force", UUID)
CANCEL_ORDER = SQL.query("cancel_order", Order)
OPEN_ORDERS = SQL.query("open_orders", int)
