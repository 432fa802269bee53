"""`makima directive watch`: a directive followed live until it ends; drawn on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any

from cli.board import TIMED_OUT, Board
from cli.client import Failed, StreamBroke, call, open_stream

Happening = dict[str, Any] | str | Failed
"""An event, words of trouble with the stream ('' when it is over), or what ends everything."""

LONGEST_BACKOFF_SECONDS = 2.0
FRAMES_A_SECOND = 10


def watch(directive: str, timeout_seconds: float | None) -> int:
    """Follow a directive until it ends; the exit code says how. Raises Failed."""
    board = Board(call("GET", f"/v1/directives/{directive}"))
    happenings = _listen(directive, board)
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    if sys.stdout.isatty():
        return _drawn(board, happenings, deadline)
    return _told(board, happenings, deadline)


def _told(board: Board, happenings: SimpleQueue[Happening], deadline: float | None) -> int:
    while True:
        for event in _next(happenings, _left(deadline, None)):
            for line in board.happened(event):
                print(line, flush=True)
        if (code := _outcome(board, deadline)) is not None:
            if code != TIMED_OUT:
                _tell_the_rest(board)
            return code


def _tell_the_rest(board: Board) -> None:
    """The state may be newer than the events that were told: tell those, and how it ended."""
    for event in call("GET", f"/v1/directives/{board.directive['id']}/events?after={board.last_seq}&limit=10000"):
        for line in board.happened(event):
            print(line)
    print(board.ending(), flush=True)


def _drawn(board: Board, happenings: SimpleQueue[Happening], deadline: float | None) -> int:
    from rich.console import Console
    from rich.live import Live

    from cli.drawing import Drawing

    drawing = Drawing(board)
    with Live(drawing, console=Console(), auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            for event in _next(happenings, _left(deadline, 1 / FRAMES_A_SECOND), board):
                board.happened(event)
            code = _outcome(board, deadline)
            live.refresh()
            if code is not None:
                return code


def _outcome(board: Board, deadline: float | None) -> int | None:
    """The exit code once it has ended or time is up; looks at the directive again when an event made that necessary."""
    if board.stale:
        try:
            board.show(call("GET", f"/v1/directives/{board.directive['id']}"))
        except Failed as error:
            if error.status:
                raise
            return None  # the gateway is away: the stream says when it is back
    if (code := board.outcome()) is not None:
        return code
    return TIMED_OUT if deadline is not None and time.monotonic() >= deadline else None


def _next(
    happenings: SimpleQueue[Happening], timeout_seconds: float | None, board: Board | None = None
) -> list[dict[str, Any]]:
    """The events that have come, waiting for the first of them. Raises Failed when there will be no more."""
    events: list[dict[str, Any]] = []
    try:
        happening = happenings.get(timeout=timeout_seconds)
        while True:
            if isinstance(happening, Failed):
                raise happening
            if isinstance(happening, str):
                if board is not None:
                    board.trouble = happening or None
            else:
                events.append(happening)
            happening = happenings.get_nowait()
    except Empty:
        return events


def _listen(directive: str, board: Board) -> SimpleQueue[Happening]:
    """Events come from a thread of their own, which carries on where it was when the stream breaks."""
    happenings: SimpleQueue[Happening] = SimpleQueue()

    def listening() -> None:
        after, backoff = 0, 0.1
        while True:
            try:
                for event in open_stream(f"/v1/events?directive={directive}", after):
                    if backoff > 0.1:
                        happenings.put("")
                        backoff = 0.1
                    after = event["seq"] or after
                    happenings.put(event)
            except StreamBroke:
                happenings.put("the stream broke; asking for it again")
            except Failed as error:
                if error.status not in (0, 503):
                    happenings.put(error)
                    return
                happenings.put(str(error))
            time.sleep(backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
            board.stale = True

    threading.Thread(target=listening, daemon=True).start()
    return happenings


def _left(deadline: float | None, most: float | None) -> float | None:
    if deadline is None:
        return most
    left = max(deadline - time.monotonic(), 0.0)
    return left if most is None else min(left, most)
