"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(
    condition: Callable[[], T | None],
    what: str | Callable[[], object],
    within_seconds: float = 60.0,
    pause_seconds: float = 0.05,
) -> T:
    """Wait until a condition holds; what it found. Fails in time, naming it; `what`, called, says how far it came."""
    deadline = time.monotonic() + within_seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {within_seconds} s: {what() if callable(what) else what}"
        time.sleep(pause_seconds)
    return found
