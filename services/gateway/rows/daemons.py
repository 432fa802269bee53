"""Daemons: listed, drained."""

from __future__ import annotations

from datetime import datetime

import msgspec

from services.gateway.rows import SQL


class Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon, and how many of its slots are taken."""

    name: str
    capacity: int
    running: int
    connected: bool
    draining: bool
    refuses: str | None
    labels: list[str]
    agents: list[str]
    last_seen: datetime


DRAIN = SQL.query("drain", str)
DAEMONS = SQL.query("daemons", Daemon)
