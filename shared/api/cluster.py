"""The cluster as people see it: daemons, health, counts."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from shared.domain.statuses import DirectiveStatus, Standing, TaskStatus


class DaemonShown(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon: `running` of its `capacity` slots are taken."""

    name: str
    capacity: int
    running: int
    connected: bool
    draining: bool
    refuses: str | None
    """Why it takes no more work though nobody asked for that."""
    labels: list[str]
    agents: list[str]
    last_seen: datetime


class DrainWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a daemon is to take no more work."""

    on: bool = True


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The process lives."""

    status: Literal["ok"]


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of what the gateway needs, and which processes of its machine's cluster are in trouble."""

    status: Literal["ok", "degraded"]
    postgres: str
    broker: str
    processes: dict[str, str]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Why no daemon takes any work, and the command that would change that."""

    why: str
    fix: str


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Counts by status; of tasks, those that have not ended."""

    directives: dict[DirectiveStatus, int]
    standings: dict[Standing, int]
    """The same directives, by what people are told of them."""
    tasks: dict[TaskStatus, int]
    daemons: dict[Literal["connected", "lost"], int]
    slots: dict[Literal["capacity"], int]
    held: Held | None = None
    """Null while a daemon takes work."""
