"""What others send that comes to nothing: counted, and logged at a bounded rate."""

from __future__ import annotations

import structlog

from shared.metrics import REFUSED, SKIPPED

log = structlog.get_logger()

FIRST_LOGGED = 10
THEN_EVERY = 1000


class Skipped:
    """What one receiver skipped. Call it with the reason, once a message."""

    event = "message skipped"

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, reason: object) -> None:
        """Count one, and log it if it is among the first or a round number."""
        self.count += 1
        self.add()
        if self.count <= FIRST_LOGGED or self.count % THEN_EVERY == 0:
            log.warning(self.event, error=str(reason), count=self.count)

    def add(self) -> None:
        """Count one for whoever scrapes."""
        SKIPPED.add()


class Refused(Skipped):
    """Connections that one socket refused."""

    event = "connection refused"

    def add(self) -> None:
        """Count one for whoever scrapes."""
        REFUSED.add()
