"""`makima task log -f`: what a task printed, then what it prints, until it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from cli.client import StreamBroke, call, open_stream

ENDED = ("completed", "failed", "cancelled")
PAGE = 1000


def stored(task: str, after: tuple[int, int] = (0, -1)) -> Iterator[dict[str, Any]]:
    """The batches that are kept, after one (attempt, first number)."""
    while True:
        attempt, first = after
        path = f"/v1/tasks/{task}/log?after_attempt={attempt}&after_seq={first}&limit={PAGE}"
        page: list[dict[str, Any]] = call("GET", path)
        yield from page
        if len(page) < PAGE:
            return
        after = (page[-1]["attempt"], page[-1]["first_seq"])


def follow(task: str) -> Iterator[str]:
    """Every line once, stored ones first, live ones as they come. Raises Failed."""
    lines = _Lines()
    while True:
        shown = call("GET", f"/v1/tasks/{task}")
        if shown["status"] in ENDED:
            yield from lines.of_stored(task)
            return
        events = open_stream(f"/v1/events?directive={shown['directive_id']}&task={task}", None)
        yield from lines.of_stored(task)  # after the stream was opened: nothing falls between the two
        try:
            for event in events:
                body = event["body"]
                if event["type"] == "task.output":
                    if lines.is_gap(body["attempt"], body["first"]):
                        yield from lines.of_stored(task)
                    yield from lines.new(body["attempt"], body["first"], body["lines"])
                elif event["type"] == "task.changed" and body["status"] in ENDED:
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

    def new(self, attempt: int, first: int, lines: list[str]) -> list[str]:
        if attempt < self._attempt:
            return []
        if attempt > self._attempt:
            self._attempt, self._next = attempt, 0
        fresh = lines[max(self._next - first, 0) :]
        self._next = max(self._next, first + len(lines))
        return fresh

    def of_stored(self, task: str) -> Iterator[str]:
        after = (self._attempt, -1)
        for batch in stored(task, after):
            yield from self.new(batch["attempt"], batch["first_seq"], batch["events"])
