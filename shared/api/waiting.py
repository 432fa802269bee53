"""What waits, as people see it: why, and the inbox."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec


class WhyShown(msgspec.Struct, frozen=True, kw_only=True):
    """What something waits for, in words, and what would move it on (null: it goes on by itself)."""

    id: UUID
    kind: Literal["directive", "step", "task"]
    called: str
    """What commands take for it: `12`, `12/3`, `12/plan`."""
    name: str
    status: str
    """A directive's, a step's or a task's."""
    why: str
    fix: str | None
    output: str = ""
    """The end of what was printed where something failed; empty where nothing was."""


class InboxItem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that waits for a person: since when, what, and the command that settles it."""

    id: UUID
    """Of the question, the directive or the task."""
    since: datetime
    kind: Literal["question", "approval", "paused", "waiting"]
    directive_id: UUID
    called: str
    """What commands take for it: `12`, `12/3`, `12/plan`."""
    title: str
    text: str
    options: list[str]
    """The answers that a question offers: `makima answer` takes their place, from 1 on, too."""
    command: str
