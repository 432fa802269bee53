"""A task's tokens: stateless, scoped to one attempt, and worth nothing once that attempt isn't live any more.

One is its agent's, to speak to the gateway. The other is for its daemon's git alone, which no agent is given.
"""

from __future__ import annotations

import hmac
import re
from pathlib import Path
from uuid import UUID

from shared.config.secret_file import kept

_TOKEN = re.compile(r"mk[tg]_([0-9a-f]{32})_([0-9]{1,9})_([0-9a-f]{32})")
_AGENT, _GIT = "mkt_", "mkg_"


def load_secret(home: Path) -> bytes:
    """The cluster's secret, `{home}/secret` (mode 0600), made when it isn't there."""
    return kept(home / "secret")


def task_token(secret: bytes, task: UUID, attempt: int) -> str:
    """The token of one attempt of a task."""
    return _token(secret, _AGENT, task, attempt)


def git_token(secret: bytes, task: UUID, attempt: int) -> str:
    """The token with which the daemon's git speaks for one attempt of a task."""
    return _token(secret, _GIT, task, attempt)


def read_task_token(secret: bytes, token: str) -> tuple[UUID, int] | None:
    """The task and attempt that a token was made for; None when it is no such token of this cluster's."""
    return _read(secret, _AGENT, token)


def read_git_token(secret: bytes, token: str) -> tuple[UUID, int] | None:
    """The same for the token of a daemon's git."""
    return _read(secret, _GIT, token)


def _read(secret: bytes, kind: str, token: str) -> tuple[UUID, int] | None:
    if not (match := _TOKEN.fullmatch(token)):
        return None
    task, attempt = UUID(match[1]), int(match[2])
    return (task, attempt) if hmac.compare_digest(token, _token(secret, kind, task, attempt)) else None


def _token(secret: bytes, kind: str, task: UUID, attempt: int) -> str:
    purpose = "" if kind == _AGENT else kind
    mac = hmac.digest(secret, f"{purpose}{task.hex}:{attempt}".encode(), "sha256").hex()[:32]
    return f"{kind}{task.hex}_{attempt}_{mac}"
