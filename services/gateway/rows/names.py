"""What people call things."""

from __future__ import annotations

from uuid import UUID

import msgspec

from services.gateway.rows import SQL


class Called(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is called so."""

    id: UUID
    directive_id: UUID
    label: str
    name: str


class CalledOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is called so; it may be no directive's yet."""

    id: UUID
    directive_id: UUID | None
    label: str
    name: str


DIRECTIVE_BY_NUMBER = SQL.query("directive_by_number", Called)
DIRECTIVES_CALLED = SQL.query("directives_called", Called)
DIRECTIVES_BETWEEN = SQL.query("directives_between", Called)
STEPS_CALLED = SQL.query("steps_called", Called)
STEPS_BETWEEN = SQL.query("steps_between", Called)
TASKS_OF = SQL.query("tasks_of", Called)
TASKS_BETWEEN = SQL.query("tasks_between", Called)
QUESTIONS_OF = SQL.query("questions_of", Called)
QUESTIONS_BETWEEN = SQL.query("questions_between", Called)
ORDERS_CALLED = SQL.query("orders_called", CalledOrder)
