"""Orders as people place and see them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from shared.domain.orders import OrderType, Priority
from shared.domain.statuses import OrderStatus


class NewOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A small work item, linked to a directive or to none yet."""

    title: Annotated[str, msgspec.Meta(max_length=500)]
    description: str = ""
    priority: Priority = Priority.MEDIUM
    order_type: OrderType = OrderType.FEATURE
    directive: UUID | None = None


class Link(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The directive that an order is to be picked up by; with a step of it, the one that serves it already."""

    directive: UUID
    step: UUID | None = None


class OrderShown(msgspec.Struct, frozen=True, kw_only=True):
    """An order, with the steps that serve it."""

    id: UUID
    number: int
    """Short, and its owner's own: what commands take for it."""
    title: str
    description: str
    priority: Priority
    order_type: OrderType
    status: OrderStatus
    directive_id: UUID | None
    created_at: datetime
    version: int
    steps: list[UUID]
