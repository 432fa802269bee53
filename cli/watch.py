"""`makima directive watch`: a directive followed live until it ends; drawn on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Literal
from uuid import UUID

import msgspec

from cli.board import HELD, TIMED_OUT, Board, waits
from cli.client import Failed, StreamBroke, ask, open_stream, pages
from cli.reviewing import looking
from cli.tail import stored
from shared.api.directives import DirectiveShown
from shared.api.events import EventShown
from shared.api.questions import QuestionShown
from shared.api.waiting import WhyShown

Happening = EventShown | str | Failed
"""An event, words of trouble with the stream ('' when it is over), or what ends everything."""

LONGEST_BACKOFF_SECONDS = 2.0
FRAMES_A_SECOND = 10
QUIET_SECONDS = 2.0
"""After so long without an event, and ever again, is asked why nothing of a directive goes on."""


class Began(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="watch.began"):
    """The first line of a watch in JSON: the directive as it stands. Its events follow, as EventShown."""

    directive: DirectiveShown


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="watch.ended"):
    """The last line of a watch in JSON: how it ended, and the directive as it stands then."""

    exit_code: Literal[0, 1, 124]
    directive: DirectiveShown


def watch(directive: UUID | str, timeout_seconds: float | None, output: str = "text") -> int:
    """Follow a directive until it ends; the exit code says how. Raises Failed."""
    board = Board(ask(DirectiveShown, "GET", f"/v1/directives/{directive}"))
    happenings = _listen(directive, board)
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    if output == "json":
        return _as_json(board, happenings, deadline)
    if sys.stdout.isatty():
        return _drawn(board, happenings, deadline)
    return _told(board, happenings, deadline)


def _as_json(board: Board, happenings: SimpleQueue[Happening], deadline: float | None) -> int:
    def tell(one: msgspec.Struct) -> None:
        print(msgspec.json.encode(one).decode(), flush=True)

    def happened(event: EventShown) -> None:
        board.happened(event)
        tell(event)

    tell(Began(directive=board.directive))
    code = _followed(board, happenings, deadline, happened)
    tell(Ended(exit_code=code, directive=board.directive))  # type: ignore[arg-type]
    return code


def _told(board: Board, happenings: SimpleQueue[Happening], deadline: float | None) -> int:
    def tell(event: EventShown) -> None:
        for line in board.happened(event):
            print(line, flush=True)

    code = _followed(board, happenings, deadline, tell, _say_why())
    if code != TIMED_OUT:
        print(board.ending(), flush=True)
        if board.why is not None and board.why.fix:
            print("\n".join(list(waits(board.why))[1:]), flush=True)
        if command := looking(board.directive):
            print(f"  {command}", flush=True)
    return code


def _say_why() -> Callable[[Board], None]:
    """Says why nothing goes on, once each time that it is something else."""
    said: list[str] = []

    def say(board: Board) -> None:
        lines = list(waits(board.why)) if board.why is not None and board.outcome() is None else []
        if lines and lines != said:
            print("\n".join([f"waiting: {lines[0]}", *lines[1:]]), flush=True)
        said[:] = lines or said

    return say


def _followed(
    board: Board,
    happenings: SimpleQueue[Happening],
    deadline: float | None,
    tell: Callable[[EventShown], None],
    quiet: Callable[[Board], None] = lambda _: None,
) -> int:
    """Tell each event as it comes, until it ends; the exit code."""
    while True:
        events = _next(happenings, _left(deadline, QUIET_SECONDS), board)
        for event in events:
            tell(event)
        board.stale = board.stale or (not events and board.is_quiet())
        if (code := _outcome(board, deadline)) is not None:
            if code != TIMED_OUT:
                _tell_the_rest(board, tell)
            return code
        if not events:
            quiet(board)


def _tell_the_rest(board: Board, tell: Callable[[EventShown], object]) -> None:
    """The state may be newer than the events that were told: tell those."""
    for event in pages(EventShown, f"/v1/directives/{board.directive.id}/events?after={board.last_seq}&limit=1000"):
        tell(event)


def _drawn(board: Board, happenings: SimpleQueue[Happening], deadline: float | None) -> int:
    from rich.console import Console
    from rich.live import Live

    from cli.drawing import Drawing

    looked = time.monotonic()
    with Live(Drawing(board), console=Console(), auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            for event in _next(happenings, _left(deadline, 1 / FRAMES_A_SECOND), board):
                board.happened(event)
            if board.is_quiet() and time.monotonic() > looked + QUIET_SECONDS:
                board.stale, looked = True, time.monotonic()
            code = _outcome(board, deadline)
            if code not in (None, TIMED_OUT):
                _tell_the_rest(board, board.happened)
            live.refresh()
            if code is not None:
                return code


def _outcome(board: Board, deadline: float | None) -> int | None:
    """The exit code once it has ended or time is up; looks at the directive again when an event made that necessary."""
    if board.stale:
        try:
            _look(board)
        except Failed as error:
            if error.status:
                raise
            return None  # the gateway is away: the stream says when it is back
    if (code := board.outcome()) is not None:
        return code
    return TIMED_OUT if deadline is not None and time.monotonic() >= deadline else None


def _look(board: Board) -> None:
    """Take in the directive as it stands, what it asks, and why nothing of it goes on. Raises Failed."""
    this = board.directive.id
    board.show(ask(DirectiveShown, "GET", f"/v1/directives/{this}"))
    board.why = ask(WhyShown, "GET", f"/v1/why/{this}") if board.directive.standing in HELD else None
    for job in board.jobs.values():
        if job.is_live and job.task not in board.last_lines:
            for batch in stored(str(job.task)):
                board.printed(job.task, batch)
    if board.asks:
        board.questions = [q for q in pages(QuestionShown, "/v1/questions") if q.directive_id == this]
        board.asks = False


def _next(happenings: SimpleQueue[Happening], timeout_seconds: float | None, board: Board) -> list[EventShown]:
    """The events that have come, waiting for the first of them. Raises Failed when there will be no more."""
    events: list[EventShown] = []
    try:
        happening = happenings.get(timeout=timeout_seconds)
        while True:
            if isinstance(happening, Failed):
                raise happening
            if isinstance(happening, str):
                board.trouble = happening or None
            else:
                events.append(happening)
            happening = happenings.get_nowait()
    except Empty:
        return events


def _listen(directive: UUID | str, board: Board) -> SimpleQueue[Happening]:
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
                    after = event.seq or after
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


def _left(deadline: float | None, most: float) -> float:
    return most if deadline is None else min(max(deadline - time.monotonic(), 0.0), most)
