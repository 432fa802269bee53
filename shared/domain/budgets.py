"""A directive's limits and whether they are spent (rule 18). Pure."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from shared.domain.texts import dollars


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a directive may spend; None is no limit. Cost in US dollars."""

    max_cost_usd: Decimal | None = None
    max_tokens: int | None = None
    deadline: datetime | None = None


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What its tasks have spent so far."""

    cost_usd: Decimal = Decimal(0)
    tokens: int = 0


def exceeded(spent: Spent, limits: Limits, now: datetime) -> str | None:
    """Why a directive has to be paused, in words, or None.

    >>> exceeded(Spent(tokens=120), Limits(max_tokens=100), datetime(2026, 1, 1))
    'the budget is spent: 120 of 100 tokens'
    """
    if limits.max_cost_usd is not None and spent.cost_usd >= limits.max_cost_usd:
        return f"the budget is spent: {dollars(spent.cost_usd)} of {dollars(limits.max_cost_usd)}"
    if limits.max_tokens is not None and spent.tokens >= limits.max_tokens:
        return f"the budget is spent: {spent.tokens} of {limits.max_tokens} tokens"
    if limits.deadline is not None and now >= limits.deadline:
        return f"the deadline has passed: {limits.deadline:%Y-%m-%d %H:%M %Z}".rstrip()
    return None
