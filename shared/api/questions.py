"""Questions as agents ask and people answer them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec


class NewQuestion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an agent asks. After `timeout_seconds` the answer is `default`; without one, there is none."""

    text: Annotated[str, msgspec.Meta(max_length=20_000)]
    options: Annotated[list[Annotated[str, msgspec.Meta(max_length=1000)]], msgspec.Meta(max_length=50)] = []
    default: Annotated[str, msgspec.Meta(max_length=20_000)] | None = None
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=30 * 24 * 3600)] | None = None


class NewAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person answers."""

    answer: Annotated[str, msgspec.Meta(max_length=100_000)]


class QuestionShown(msgspec.Struct, frozen=True, kw_only=True):
    """A question."""

    id: UUID
    called: str
    """What `makima answer` takes for it while it is open: what its task is called."""
    directive_id: UUID
    title: str
    """The directive's."""
    task_id: UUID
    task_name: str
    text: str
    options: list[str]
    default_answer: str | None
    expires_at: datetime | None
    answer: str | None
    settled: Literal["answered", "default", "expired"] | None
    """Null while it is open."""
    asked_at: datetime
    open: bool
    """Somebody still waits for the answer."""
