"""Questions: asked, shown, answered."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from services.gateway.rows import SQL


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A question, its task's and its directive's names, and whether anybody still waits for the answer."""

    id: UUID
    called: str
    directive_id: UUID
    title: str
    task_id: UUID
    task_name: str
    text: str
    options: list[str]
    default_answer: str | None
    expires_at: datetime | None
    answer: str | None
    settled: Literal["answered", "default", "expired"] | None
    asked_at: datetime
    open: bool


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A question that was just answered."""

    id: UUID
    task_id: UUID
    directive_id: UUID


ASK = SQL.command("ask")
QUESTION = SQL.query("question", Question)
QUESTIONS = SQL.query("questions", Question)
ANSWER = SQL.query("answer", Answered)
