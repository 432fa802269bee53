"""Events as listeners see them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec


class EventShown(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the audit log, or what passes by without being kept."""

    seq: int | None
    """Its number; null for what isn't kept (task.output)."""
    type: str
    directive_id: UUID | None
    body: dict[str, object]
    """What it says, by its type."""
    at: datetime
    said: str = ""
    """It in a sentence; empty where it means nothing to a person, and in the live stream."""
