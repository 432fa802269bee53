"""How much of a stream may be on its way: as much as comes through without a queue, within what both sides take. Pure.

What is sent and not yet taken waits somewhere between the two sides, before what others send. A stream of an agent's
request is short, and has one size of window. One of git's may be long: its window grows with what comes through, and
shrinks when an answer takes longer than the way there and back; from then on it grows by small steps.
"""

from __future__ import annotations

from collections import deque

from shared.messages.link import LEAST_BYTES, WINDOW_BYTES

QUEUE_SECONDS = 0.2
"""How much longer an answer may take than the shortest did, or than twice that, before the window shrinks."""


class Window:
    """What one side of a stream may have on its way. `most`: what the other takes."""

    def __init__(self, most: int = WINDOW_BYTES) -> None:
        self.bytes = min(WINDOW_BYTES, most)
        self._most = most
        self._marks: deque[tuple[int, float]] = deque()
        """Up to where was sent when, of what isn't taken yet."""
        self._shortest = float("inf")
        self._taken = 0
        self._shrunk_at = 0

    def sent(self, upto: int, now: float) -> None:
        """All up to here is sent, at this time in seconds."""
        if self._most > WINDOW_BYTES:
            self._marks.append((upto, now))

    def taken(self, upto: int, now: float) -> None:
        """All up to here is taken."""
        sent_at = None
        while self._marks and self._marks[0][0] <= upto:
            sent_at = self._marks.popleft()[1]
        more, self._taken = upto - self._taken, max(self._taken, upto)
        if sent_at is None:
            return
        took = now - sent_at
        self._shortest = min(self._shortest, took)
        if took > 2 * self._shortest + QUEUE_SECONDS:
            self._shrink(upto)
        else:
            self.bytes = min(self._most, self.bytes + (more // 8 if self._shrunk_at else more))

    def _shrink(self, upto: int) -> None:
        """Once for all that was on its way when it did."""
        if upto > self._shrunk_at:
            self._shrunk_at = upto + self.bytes
            self.bytes = max(LEAST_BYTES, self.bytes // 2)
