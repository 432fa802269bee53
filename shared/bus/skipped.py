"""Messages that could not be read: counted, logged at a bounded rate, and skipped."""

from __future__ import annotations

import structlog

log = structlog.get_logger()

FIRST_LOGGED = 10
THEN_EVERY = 1000


class Skipped:
    """What one receiver skipped. Call it with the reason, once a message."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, reason: object) -> None:
        """Count one message, and log it if it is among the first or a round number."""
        self.count += 1
        if self.count <= FIRST_LOGGED or self.count % THEN_EVERY == 0:
            log.warning("message skipped", error=str(reason), count=self.count)
