"""`makima task log -f`: what a task printed, then what it prints, until it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator

from cli.client import StreamBroke, ask, open_stream
from cli.events import read
from shared.api.tasks import OutputBatch, TaskShown
from shared.domain.statuses import ENDED_TASK
from shared.messages import events

PAGE = 1000


def stored(task: str, after: tuple[int, int] = (0, -1)) -> Iterator[OutputBatch]:
    """The batches that are kept, after one (attempt, first number)."""
    while True:
        attempt, first = after
        path = f"/v1/tasks/{task}/log?after_attempt={attempt}&after_seq={first}&limit={PAGE}"
        page = ask(list[OutputBatch], "GET", path)
        yield from page
        if len(page) < PAGE:
            return
        after = (page[-1].attempt, page[-1].first_seq)


def follow(task: str) -> Iterator[OutputBatch]:
    """Every line once, in batches as they come, the stored ones first. Raises Failed."""
    lines = _Lines()
    while True:
        shown = ask(TaskShown, "GET", f"/v1/tasks/{task}")
        if shown.status in ENDED_TASK:
            yield from lines.of_stored(task)
            return
        happening = open_stream(f"/v1/events?directive={shown.directive_id}&task={task}", None)
        yield from lines.of_stored(task)  # after the stream was opened: nothing falls between the two
        try:
            for event in happening:
                match read(event):
                    case events.TaskOutput() as said:
                        if lines.is_gap(said.attempt, said.first):
                            yield from lines.of_stored(task)
                        yield from lines.new(said.attempt, said.first, list(said.lines))
                    case events.TaskChanged(status=status) if status in ENDED_TASK:
                        break
        except StreamBroke:
            time.sleep(0.5)


class _Lines:
    """Knows which lines were given out, so that each is given out once."""

    def __init__(self) -> None:
        self._attempt = 0
        self._next = 0

    def is_gap(self, attempt: int, first: int) -> bool:
        return attempt > self._attempt or (attempt == self._attempt and first > self._next)

    def new(self, attempt: int, first: int, lines: list[str]) -> Iterator[OutputBatch]:
        if attempt < self._attempt:
            return
        if attempt > self._attempt:
            self._attempt, self._next = attempt, 0
        begins = max(self._next, first)
        fresh = lines[begins - first :]
        self._next = max(self._next, first + len(lines))
        if fresh:
            yield OutputBatch(attempt=attempt, first_seq=begins, events=fresh)

    def of_stored(self, task: str) -> Iterator[OutputBatch]:
        for batch in stored(task, (self._attempt, -1)):
            yield from self.new(batch.attempt, batch.first_seq, batch.events)
