"""What a watched directive's board knows after its events, and what it tells."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from cli.board import DELIVERED, STOPPED, Board
from cli.drawing import Drawing
from cli.text import clean
from shared.api.directives import DirectiveShown
from shared.api.events import EventShown
from shared.api.tasks import OutputBatch
from shared.api.waiting import WhyShown
from tests.shown import directive, event, named, step


def output(*lines: str, first: int = 0, name: str = "a") -> EventShown:
    return event("task.output", seq=None, task=str(named(f"task {name}")), attempt=1, first=first, lines=list(lines))


def drawn(board: Board, height: int = 40) -> str:
    console = Console(file=StringIO(), width=100, height=height)
    console.print(Drawing(board))
    written: StringIO = console.file  # type: ignore[assignment]
    return written.getvalue()


@pytest.mark.parametrize(
    ("shown", "code", "says"),
    [
        (directive(status="completed", standing="delivered", pr_branch="makima/x"), DELIVERED, "delivered on makima/x"),
        (
            directive(status="completed", standing="merged", pr_url="https://f/1"),
            DELIVERED,
            "merged, https://f/1",
        ),
        (
            directive(status="idle", standing="pull request open", pr_url="https://f/1"),
            DELIVERED,
            "pull request open, https://f/1",
        ),
        (
            directive(status="completed", delivery_outcome="nothing changed: main is as the steps leave it"),
            DELIVERED,
            "completed: nothing changed: main is as the steps leave it",
        ),
        (directive(status="idle", standing="delivered"), None, "delivered"),
        (directive(status="idle", standing="merging", pr_url="https://f/1"), None, "merging, https://f/1"),
        (directive(status="paused", pause_reason="no\nmore money"), STOPPED, "paused: no more money"),
        (directive(status="archived"), STOPPED, "archived"),
        (directive(status="awaiting_approval"), None, "awaiting approval"),
    ],
)
def test_the_outcome_is_the_directives(shown: DirectiveShown, code: int | None, says: str) -> None:
    board = Board(shown)
    assert (board.outcome(), board.ending()) == (code, says)


def test_steps_stand_after_what_they_depend_on() -> None:
    last, first, phase = step("a", "pending", "b"), step("b"), step("c", order_index=1)
    board = Board(directive(phase, last, first))
    assert [s.name for s in board.directive.steps] == ["b", "a", "c"]


def test_lines_tell_what_happened_since_the_first_event() -> None:
    board = Board(directive(step("a")))
    told = [
        board.happened(event("directive.changed", 1, status="active")),
        board.happened(event("step.changed", 3, step=str(named("a")), name="a", status="failed", reason="exit code 3")),
        board.happened(event("step.ready", 4, steps=[str(named("a"))])),
        board.happened(event("task.created", 4, task=str(named("t")), kind="step")),
    ]
    assert told == [
        ["   0.00  directive active"],
        ["   2.00  step a failed: exit code 3"],
        ["   3.00  1 step ready"],
        [],
    ]


def test_output_that_comes_twice_is_told_once_and_without_control_characters() -> None:
    board = Board(directive(step("a", "running")))
    assert [line[9:] for line in board.happened(output("one", "\x1b[31mtwo\x1b[0m\x07"))] == ["a | one", "a | two"]
    assert board.happened(output("one", "two")) == []
    assert [line[9:] for line in board.happened(output("two", "three", first=1))] == ["a | three"]
    assert "three" in drawn(board)


def test_a_running_step_shows_its_daemon_and_a_waiting_one_what_it_waits_for() -> None:
    board = Board(
        directive(
            step("build", "running", daemon="daemon-7"),
            step("test", "pending", "build"),
            step("ship", order_index=1),
            step("stuck", "ready", waiting_reason="4 of 4 slots taken"),
        )
    )
    text = drawn(board)
    assert "daemon-7" in text
    assert "after build" in text
    assert "after phase 0" in text
    assert "4 of 4 slots taken" in text
    assert "0 of 4 steps done" in text


def test_a_thousand_steps_fit_the_terminal_with_the_running_ones_seen() -> None:
    steps = [step(f"s{n:03d}", "completed" if n < 500 else "pending") for n in range(1000)]
    steps[500] = step("s500", "running")
    text = drawn(Board(directive(*steps)), height=24)
    assert len(text.splitlines()) <= 24
    assert "s500" in text
    assert "completed" in text
    assert "pending" in text


def test_markup_in_a_name_is_only_shown() -> None:
    assert "[red]x[/red]" in drawn(Board(directive(step("[red]x[/red]"), title="[bold]t")))


@pytest.mark.parametrize("hostile", ["\x1b]0;title\x07", "\x1b[2J", "\r", "\x00", "\x9b31m", "a\nb"])
def test_a_cleaned_text_holds_no_control_character(hostile: str) -> None:
    assert clean(hostile).isprintable()


def why(text: str, fix: str | None) -> WhyShown:
    return WhyShown(id=named("directive"), kind="directive", called="12", name="Job", status="x", why=text, fix=fix)


def test_the_last_frame_of_what_was_archived_shows_nothing_running() -> None:
    text = drawn(Board(directive(step("build", "running"), status="archived")))
    assert "⊘ build" in text and "archived" in text


def test_the_foot_names_each_command_that_moves_it_on_by_itself() -> None:
    board = Board(directive(step("build", "failed"), status="paused", pause_reason="step 'build' failed"))
    board.why = why(
        "it is paused: step 'build' failed", "makima directive retry-step 12/1, or makima directive skip-step 12/1"
    )
    foot = [line.rstrip() for line in drawn(board).splitlines()[-3:]]
    assert foot == [
        "✘ it is paused: step 'build' failed",
        "  makima directive retry-step 12/1",
        "  makima directive skip-step 12/1",
    ]


def test_a_delivery_shows_its_stage_from_before_it_was_watched() -> None:
    board = Board(directive(status="idle", standing="checking"))
    task = named("delivery")
    board.happened(event("task.changed", task=str(task), kind="completion", status="running", daemon="daemon-1"))
    board.printed(
        task, OutputBatch(attempt=1, first_seq=0, events=["[merging 2 branches into main]", "[checking: true]"])
    )
    text = drawn(board)
    assert "checking" in text.splitlines()[0]
    assert "Merge and deliver" in text and "[checking: true]" in text
    assert board.outcome() is None


def test_what_ctrl_c_echoes_finds_an_empty_line_while_it_runs() -> None:
    running = Board(directive(step("a", status="running"), status="active", standing="running"))
    assert running.outcome() is None and drawn(running).endswith("\n\n")


def test_coming_back_to_rest_after_each_look_at_a_delivery_is_not_told_again() -> None:
    board = Board(directive(step("a", "completed"), status="idle", standing="delivering"))
    idle = event("directive.changed", status="idle")
    assert [len(board.happened(one)) for one in (idle, idle, event("step.ready", steps=[]), idle)] == [1, 0, 1, 1]
