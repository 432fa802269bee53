"""A task's token: stateless, scoped to one attempt, and worth nothing once that attempt isn't live any more."""

from __future__ import annotations

import hmac
import re
from pathlib import Path
from uuid import UUID

from shared.config.secret_file import kept

_TOKEN = re.compile(r"mkt_([0-9a-f]{32})_([0-9]{1,9})_([0-9a-f]{32})")


def load_secret(home: Path) -> bytes:
    """The cluster's secret, `{home}/secret` (mode 0600), made when it isn't there."""
    return kept(home / "secret")


def task_token(secret: bytes, task: UUID, attempt: int) -> str:
    """The token of one attempt of a task."""
    return f"mkt_{task.hex}_{attempt}_{_mac(secret, task, attempt)}"


def read_task_token(secret: bytes, token: str) -> tuple[UUID, int] | None:
    """The task and attempt that a token was made for; None when it is no such token of this cluster's."""
    if not (match := _TOKEN.fullmatch(token)):
        return None
    task, attempt = UUID(match[1]), int(match[2])
    return (task, attempt) if hmac.compare_digest(match[3], _mac(secret, task, attempt)) else None


def _mac(secret: bytes, task: UUID, attempt: int) -> str:
    return hmac.digest(secret, f"{task.hex}:{attempt}".encode(), "sha256").hex()[:32]
