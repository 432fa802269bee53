"""Answers that were given, by their Idempotency-Key."""

from __future__ import annotations

import msgspec

from services.gateway.rows import SQL


class KeptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a request was answered, and the hash of that request."""

    request: str
    answer: object | None
    headers: dict[str, str]


CLAIM_KEY = SQL.query("claim_key", str)
KEPT_ANSWER = SQL.query("kept_answer", KeptAnswer)
KEEP_ANSWER = SQL.command("keep_answer")
