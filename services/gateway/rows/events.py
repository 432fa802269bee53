"""The audit log."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from services.gateway.rows import SQL


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the log, and whose it is."""

    seq: int
    type: str
    directive_id: UUID | None
    body: dict[str, object]
    at: datetime
    owner_id: UUID


class FollowedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The same as the log holds it: nobody's, when its directive is gone, or it had none and
    names no owner."""

    seq: int
    type: str
    directive_id: UUID | None
    body: dict[str, object]
    at: datetime
    owner_id: UUID | None


EVENTS = SQL.query("events", Entry)
REPLAY = SQL.query("replay", Entry)
REPLAY_ALL = SQL.query("replay_all", Entry)
FOLLOW = SQL.query("follow", FollowedEntry)
SETTLED_POSITION = SQL.query("settled_position", int)
LAST_POSITION = SQL.query("last_position", int)
