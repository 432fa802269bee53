"""Orders: small work items that a directive can pick up. Their status follows from the steps that serve them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from shared.domain.statuses import OrderStatus, StepStatus


class Priority(StrEnum):
    """How soon an order is wanted; declared in that order."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NONE = "none"


class OrderType(StrEnum):
    """What kind of work an order asks for."""

    FEATURE = "feature"
    BUG = "bug"
    SPIKE = "spike"
    CHORE = "chore"
    IMPROVEMENT = "improvement"


def standing(serving: Iterable[StepStatus]) -> OrderStatus:
    """An order's status, given the steps in force that serve it: done when all completed, in progress while one may
    still run, else open (again). `makima.settle_orders` is the same in SQL."""
    statuses = list(serving)
    if statuses and all(s is StepStatus.COMPLETED for s in statuses):
        return OrderStatus.DONE
    live = (StepStatus.PENDING, StepStatus.READY, StepStatus.RUNNING)
    return OrderStatus.IN_PROGRESS if any(s in live for s in statuses) else OrderStatus.OPEN
