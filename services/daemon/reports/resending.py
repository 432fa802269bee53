"""Reports that nobody has acknowledged: sent, and sent again, the rarer the longer nothing is heard."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from services.daemon.reports.connection import Connection, output_last, size
from services.daemon.reports.journal import Journal
from shared.messages.reports import AnyReport, Report

RESEND_SECONDS = 2.0
LONGEST_RESEND_SECONDS = 30.0
RESEND_BYTES = 4 << 20
RESEND_UNHEARD_BYTES = 64 << 10
"""At most so much is sent again at once; less while nothing is heard, as it may only be queueing up."""


class Resending:
    """Sends what the journal holds until it is acknowledged."""

    def __init__(self, connection: Connection, journal: Journal) -> None:
        self._connection = connection
        self._journal = journal
        self._sent_at: dict[int, float] = {}
        self._backoff = RESEND_SECONDS

    def send(self, report: Report) -> None:
        """Send a report for the first time."""
        self._sent_at[report.seq] = asyncio.get_running_loop().time()
        self._connection.send([report])  # type: ignore[list-item]

    def send_all(self) -> None:
        """Send all that isn't acknowledged."""
        self._backoff = RESEND_SECONDS
        self._send_again(asyncio.get_running_loop().time(), RESEND_BYTES)

    def acknowledged(self, seqs: Iterable[int]) -> None:
        """These need not be sent again."""
        self._backoff = RESEND_SECONDS
        for seq in seqs:
            self._sent_at.pop(seq, None)

    def forgotten(self) -> None:
        """What the journal has forgotten need not be sent again."""
        self._sent_at = {s: at for s, at in self._sent_at.items() if s in self._journal.unacknowledged}

    async def run(self) -> None:
        """Send once more what wasn't acknowledged in time, for ever."""
        heard = self._connection.heard
        while True:
            await asyncio.sleep(self._backoff / 2)
            before = asyncio.get_running_loop().time() - self._backoff
            if not any(self._sent_at.get(seq, 0.0) <= before for seq in self._journal.unacknowledged):
                continue
            listening = self._connection.heard != heard
            heard = self._connection.heard
            self._send_again(before, RESEND_BYTES if listening else RESEND_UNHEARD_BYTES)
            self._backoff = RESEND_SECONDS if listening else min(self._backoff * 2, LONGEST_RESEND_SECONDS)

    def _send_again(self, sent_before: float, max_bytes: int) -> None:
        now = asyncio.get_running_loop().time()
        again: list[AnyReport] = []
        unheard = [
            r for s, r in sorted(self._journal.unacknowledged.items()) if self._sent_at.get(s, 0.0) <= sent_before
        ]
        for report in output_last(unheard):  # type: ignore[arg-type]
            max_bytes -= size(report)
            if again and max_bytes < 0:
                break
            self._sent_at[report.seq] = now  # type: ignore[union-attr]
            again.append(report)
        self._connection.send(again)
