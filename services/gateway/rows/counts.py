"""What is counted: an owner's, and everything."""

from __future__ import annotations

from typing import Literal

import msgspec

from services.gateway.rows import SQL


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many of something are in a status."""

    what: Literal["directives", "standings", "tasks", "daemons", "slots"]
    status: str
    many: int


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a gauge, with the values of its labels."""

    what: Literal["directives", "tasks", "steps", "queues", "oldest", "daemons", "slots"]
    labels: tuple[str, ...]
    many: float


OVERVIEW = SQL.query("overview", Count)
COUNTS = SQL.query("counts", Sample)
READ_ONLY = SQL.query("read_only", bool)
