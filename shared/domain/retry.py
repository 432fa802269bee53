"""When a failed attempt runs again, and when it doesn't any more (rule 9). Pure."""

from __future__ import annotations

MAX_ATTEMPTS = 2
MAX_LOSSES = 5
FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 300.0
FIRST_WAIT_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 900.0


def may_retry(failures: int, max_attempts: int = MAX_ATTEMPTS) -> bool:
    """Whether a task that has failed `failures` times runs again. Losing a daemon is no failure."""
    return failures < max_attempts


def may_resume(losses: int, max_losses: int = MAX_LOSSES) -> bool:
    """Whether a task whose daemon was lost `losses` times runs again."""
    return losses <= max_losses


def backoff_seconds(failures: int, jitter: float) -> float:
    """Seconds until the next attempt: doubled a failure, times 0.5 to 1.5 as `jitter` in [0, 1) says."""
    base = min(FIRST_BACKOFF_SECONDS * 2.0 ** max(failures - 1, 0), LONGEST_BACKOFF_SECONDS)
    return min(base * (0.5 + jitter), LONGEST_BACKOFF_SECONDS)


def wait_seconds(waits: int, jitter: float) -> float:
    """Seconds until a provider in trouble is asked again that said no time; doubled with each of `waits` before it."""
    base = min(FIRST_WAIT_SECONDS * 2.0 ** min(waits, 30), LONGEST_WAIT_SECONDS)
    return min(base * (0.5 + jitter), LONGEST_WAIT_SECONDS)
