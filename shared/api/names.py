"""What people call things, as they look it up."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import msgspec

Kind = Literal["directive", "step", "task", "order", "question", "anything"]


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is called so."""

    id: UUID
    directive_id: UUID | None
    label: str
    """What it is short: `12` of a directive, `12/3` of a step, else its kind."""
    name: str
