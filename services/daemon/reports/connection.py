"""The one connection to the broker: reports leave it in batches, output behind the others where there are many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import msgspec
import structlog

from shared.bus.bus import MessageChannel
from shared.bus.skipped import Skipped
from shared.messages.commands import AnyCommand
from shared.messages.frames import (
    COMMANDS,
    DOWNWARD,
    REPORT_REPLIES,
    REPORTS,
    FrameTooLarge,
    FrameUnreadable,
    exactly,
    read_header,
)
from shared.messages.link import Downward
from shared.messages.reports import AnyReport, AnyReportReply, OutputBatch

log = structlog.get_logger()

BATCH_BYTES = 512 << 10


class Connection:
    """Sending never waits; one task sends and one receives, each for the connection's whole life."""

    def __init__(self, channel: MessageChannel) -> None:
        self._channel = channel
        self._outbox: asyncio.Queue[AnyReport] = asyncio.Queue()
        self._silent = asyncio.Event()
        self._skipped = Skipped()
        self.heard = 0
        """How many messages have arrived."""

    def send(self, reports: Iterable[AnyReport]) -> None:
        """Queue reports behind those that wait."""
        for report in reports:
            self._outbox.put_nowait(report)

    async def flushed(self) -> None:
        """Wait until all that was queued has been given to the socket, or until nobody sends any more."""
        waiting = [asyncio.ensure_future(w) for w in (self._outbox.join(), self._silent.wait())]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()

    async def run_sender(self) -> None:
        """Send what is queued, for ever."""
        try:
            await self._send_on()
        finally:
            self._silent.set()

    async def _send_on(self) -> None:
        while True:
            waiting = [await self._outbox.get()]
            while not self._outbox.empty():
                waiting.append(self._outbox.get_nowait())
            for batch in in_turn(waiting):
                try:
                    await self._channel.send("daemon.report", b"reports", REPORTS.encode(batch))
                except FrameTooLarge as error:
                    log.error("report dropped", error=str(error))
            for _ in waiting:
                self._outbox.task_done()

    async def run_receiver(
        self,
        on_command: Callable[[AnyCommand], None],
        on_reply: Callable[[AnyReportReply], None],
        on_link: Callable[[Downward], None] | None = None,
    ) -> None:
        """Hand on commands, replies and what else the link carries, for ever. What can't be read is counted, skipped.

        Without `on_link` there is no link.
        """
        while True:
            parts = await self._channel.receive()
            self.heard += 1
            try:
                topic, head, body = exactly(parts, 3)
                read_header(head)
                if topic == b"commands":
                    for command in COMMANDS.decode(body, self._skipped):
                        on_command(command)
                elif topic == b"acks":
                    for reply in REPORT_REPLIES.decode(body, self._skipped):
                        on_reply(reply)
                elif topic == b"link" and on_link is not None:
                    for message in DOWNWARD.decode(body, self._skipped):
                        on_link(message)
                else:
                    raise FrameUnreadable(f"topic {topic[:40]!r}")
            except FrameUnreadable as error:
                self._skipped(error)

    def close(self) -> None:
        """Close the socket."""
        self._channel.close()


def in_turn(reports: Sequence[AnyReport]) -> list[list[AnyReport]]:
    """The batches to send: in order while they are few, and else with the output behind all that moves work on."""
    cut = batches(reports)
    return cut if len(cut) < 2 else batches(output_last(reports))


def output_last(reports: Iterable[AnyReport]) -> list[AnyReport]:
    """Where not all can go at once, output yields: who started, ended or lives is said before what was printed."""
    return sorted(reports, key=lambda report: isinstance(report, OutputBatch))


def size(report: AnyReport) -> int:
    """Bytes of a report on the wire."""
    return len(msgspec.msgpack.encode(report))


def batches(reports: Iterable[AnyReport], max_bytes: int = BATCH_BYTES) -> list[list[AnyReport]]:
    """The reports in order, in lists whose encoding stays under `most_bytes` each, where one alone does."""
    cut: list[list[AnyReport]] = []
    budget = 0
    for report in reports:
        needed = size(report)
        if not cut or needed > budget:
            cut.append([])
            budget = max_bytes
        cut[-1].append(report)
        budget -= needed
    return cut
