"""What others send that comes to nothing: counted, and logged at a bounded rate."""

from __future__ import annotations

import structlog

log = structlog.get_logger()

FIRST_LOGGED = 10
THEN_EVERY = 1000


class Skipped:
    """What one receiver skipped. Call it with the reason, once a message."""

    def __init__(self, event: str = "message skipped") -> None:
        self.count = 0
        self._event = event

    def __call__(self, reason: object) -> None:
        """Count one, and log it if it is among the first or a round number."""
        self.count += 1
        if self.count <= FIRST_LOGGED or self.count % THEN_EVERY == 0:
            log.warning(self._event, error=str(reason), count=self.count)
