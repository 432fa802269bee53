"""Which monitors take reports, the newest leader first, and how much each may have waiting. Pure: time is handed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

READY_SECONDS = 6.0
"""A monitor unheard for longer gets no reports."""
WAITING_BYTES = 64 << 20
"""A monitor that has more than this to take gets no more: its memory, and the broker's, end. Daemons send it again."""


@dataclass
class _Monitor:
    said_at: float
    taken_before: int
    """What it had taken, by its own count, before anything of this broker's."""
    taken: int
    handed: int = 0

    @property
    def waiting(self) -> int:
        return self.handed - (self.taken - self.taken_before)


class Monitors:
    """Those that say that they lead, in the order of their first word."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Monitor] = {}

    def ready(self, monitor: bytes, taken: int, now: float) -> bool:
        """One says that it leads and has taken so many bytes of reports in its life; whether it is new here."""
        known = self._known.get(monitor)
        if known is None:
            self._known[monitor] = _Monitor(now, taken, taken)
            return True
        known.said_at, known.taken = now, taken
        return False

    def able(self, now: float) -> Iterator[bytes]:
        """Those that may be handed more, the newest first."""
        self._known = {m: known for m, known in self._known.items() if known.said_at > now - READY_SECONDS}
        yield from (m for m, known in reversed(list(self._known.items())) if known.waiting <= WAITING_BYTES)

    def handed(self, monitor: bytes, size: int) -> None:
        """One was handed so many bytes."""
        self._known[monitor].handed += size

    def gone(self, monitor: bytes) -> None:
        """One can't be reached."""
        self._known.pop(monitor, None)
