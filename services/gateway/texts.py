"""Texts that can't be kept: refused in a line, before anything is done."""

from __future__ import annotations

from litestar.exceptions import HTTPException

from shared.domain.plans import MAX_TEXT_BYTES, RESERVED_AGENTS


def refuse_bad_text(name: str, text: str) -> None:
    """Raise HTTPException 422 for a text that is empty, too long, or can't be stored."""
    if not text.strip():
        raise HTTPException(f"the {name} is empty", status_code=422)
    if (size := len(text.encode(errors="replace"))) > MAX_TEXT_BYTES:
        detail = f"the {name} has {size} bytes, at most {MAX_TEXT_BYTES}; commit what is long, and name its path"
        raise HTTPException(detail, status_code=422)
    refuse_nul(name, text)


def refuse_nul(name: str, *texts: str | None) -> None:
    """Raise HTTPException 422 for a text with a NUL byte, which Postgres can't hold."""
    if any("\0" in text for text in texts if text):
        raise HTTPException(f"the {name} holds a NUL byte; remove it", status_code=422)


def refuse_reserved(agent: object) -> None:
    """Raise HTTPException 422 for an agent that nobody may choose."""
    if agent in RESERVED_AGENTS:
        raise HTTPException(f"the agent {agent!r} is makima's own; name another", status_code=422)
