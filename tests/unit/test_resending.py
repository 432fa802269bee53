"""What a daemon says when there is much to say: output yields to all that moves work on, and nothing is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from services.daemon.reports.connection import BATCH_BYTES, Connection
from services.daemon.reports.journal import Journal
from services.daemon.reports.resending import RESEND_BYTES, Resending
from shared.messages.frames import REPORTS
from shared.messages.reports import AnyReport, Heartbeat, OutputBatch, TaskStarted, TaskSucceeded

LOUD, QUIET, DIRECTIVE = UUID(int=1), UUID(int=2), UUID(int=3)


class Channel:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[AnyReport] = []

    async def send(self, point: str, topic: bytes, *rest: bytes) -> None:
        del point, topic
        self.sent += REPORTS.decode(rest[-1])


def output(seq: int, size: int) -> OutputBatch:
    return OutputBatch(seq=seq, task=LOUD, attempt=1, directive=DIRECTIVE, first=seq, lines=("x" * size,))


def said(speak: Callable[[Connection], None]) -> list[AnyReport]:
    """What reaches the broker of what was queued at once, in order."""

    async def send() -> list[AnyReport]:
        channel = Channel()
        connection = Connection(channel)  # type: ignore[arg-type]
        speak(connection)
        sender = asyncio.create_task(connection.run_sender())
        await connection.flushed()
        sender.cancel()
        return channel.sent

    return asyncio.run(send())


def test_a_few_reports_go_in_the_order_in_which_they_came() -> None:
    reports: list[AnyReport] = [
        TaskStarted(seq=1, task=LOUD, attempt=1),
        output(2, 10),
        TaskSucceeded(seq=3, task=LOUD, attempt=1),
    ]
    assert said(lambda connection: connection.send(reports)) == reports


def test_much_output_yields_to_what_moves_work_on() -> None:
    much = [output(seq, BATCH_BYTES // 4) for seq in range(1, 9)]
    end, beat = TaskSucceeded(seq=9, task=QUIET, attempt=1), Heartbeat(daemon="d1")
    assert said(lambda connection: connection.send([*much, end, beat])) == [end, beat, *much]


def test_what_is_sent_again_is_first_of_all_no_output(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    much, end = [output(seq, RESEND_BYTES // 4) for seq in range(1, 9)], TaskSucceeded(seq=9, task=QUIET, attempt=1)
    for report in (*much, end):
        journal.add(report)

    assert said(lambda connection: Resending(connection, journal).send_all()) == [end, *much[:3]]
