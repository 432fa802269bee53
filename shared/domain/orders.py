"""Orders: small work items that a directive can pick up. Their status follows from the steps that serve them."""

from __future__ import annotations

from enum import StrEnum


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
