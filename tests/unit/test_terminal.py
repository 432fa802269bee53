"""What people read in a terminal: rows that fit, a log that reads as a story, logs of processes as sentences."""

from __future__ import annotations

import json
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from cli import doctor, logs, task
from cli.client import Failed
from cli.command import print_table
from cli.story import HANGING, told
from cli.text import cells, columns, cut, wrapped
from shared.api.events import EventShown
from shared.api.tasks import OutputBatch
from shared.messages.sentences import read, sentence

A, B = UUID(int=1), UUID(int=2)
NAMES = {A: "Build", B: "Test"}


def event(event_type: str, **body: object) -> EventShown:
    """An entry of the log as the gateway tells it."""
    at = datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)
    said = sentence(read(event_type, None, body), NAMES)
    return EventShown(seq=1, type=event_type, directive_id=None, body=body, at=at, said=said)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal_and_no_cell_pads_the_others_away(width: int) -> None:
    rows = [("#", "TITLE", "WHY"), ("1", "x" * 300, "a reason " * 30), ("2", "Short", "y"), ("3", "日本語" * 40, "z")]
    lines = columns(rows, width)
    assert all(cells(line) <= width for line in lines)
    assert lines[2].startswith("2  Short") and lines[2].endswith("y")
    assert len(lines[2]) <= 46


def test_where_a_program_reads_nothing_is_cut() -> None:
    lines = columns([("1", "x" * 300, "end"), ("2", "y", "end")])
    assert lines[0] == f"1  {'x' * 300}  end"
    assert len(lines[1]) < 60


def test_wide_characters_count_twice() -> None:
    assert (cells("日本"), cut("日本語", 5), cells(cut("日本語", 5))) == (4, "日本…", 5)


def test_a_log_tells_what_happened_with_names_and_without_ids() -> None:
    lines = list(
        told(
            [
                event("directive.created"),
                event("step.added", steps=[str(A), str(B)]),
                event("task.created", task=str(A), kind="step"),
                event("task.changed", task=str(A), kind="plan", status="starting", daemon="d1"),
                event("task.changed", task=str(A), kind="step", status="running"),
                event("step.changed", step=str(A), name="Build", status="failed", reason="exit\x1b[31m code 3\nmore"),
                event("directive.changed", status="paused", reason="step 'Build' failed"),
                event("directive.changed", status="active", changed=["max_parallel"]),
                event("delivery.finished", branch="makima/x", pr_url="https://forge/1"),
                event("something.new", anything=1),
            ]
        )
    )
    day, *rest = lines
    assert "2026" in day
    assert [line.split("  ", 2)[2] for line in rest] == [
        "The directive was made.",
        "Added: Build, Test.",
        "Planning: starting on d1",
        "Build: failed: exit code 3 more",
        "The directive is paused: step 'Build' failed",
        "A person changed max parallel.",
        "Delivered on makima/x, https://forge/1.",
    ]


def test_a_directive_that_comes_back_to_rest_says_once_that_all_steps_have_ended() -> None:
    idle = event("directive.changed", status="idle")
    again = event("step.changed", step=str(A), name="Build", status="completed")
    assert [line.split("  ", 2)[2] for line in list(told([idle, idle, again, idle, idle]))[1:]] == [
        "All steps have ended.",
        "Build: completed",
        "All steps have ended.",
    ]


def test_a_sentence_of_a_log_is_broken_and_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.text.terminal_width", lambda: 60)
    url = "https://github.com/acme/shop/pull/1"
    (_, line) = told([event("delivery.finished", branch="makima/directive-a-page-1234", pr_url=url)])
    parts = wrapped(line, hanging=HANGING)
    assert parts[0].endswith("Delivered on makima/directive-a-page-1234,")
    assert parts[1:] == [f"{HANGING}{url}."]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    for number, name in enumerate(("gateway", "monitor")):
        entries = [
            {"timestamp": f"2026-01-01T10:00:0{n * 2 + number}Z", "level": "info", "event": f"{name} {n}"}
            for n in range(3)
        ]
        (folder / f"{name}.log").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    monkeypatch.setenv("MAKIMA_HOME", str(tmp_path))
    return folder


def said(capsys: pytest.CaptureFixture[str], service: str | None = None, lines: int = 50) -> list[str]:
    namespace = logs.Arguments(service=service, lines=lines, follow=False, directive=None, output="text")
    assert logs._logs(namespace) == 0
    return capsys.readouterr().out.splitlines()


def test_logs_of_all_processes_are_one_story(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, lines=3) == [
        "monitor  10:00:03 monitor 1",
        "gateway  10:00:04 gateway 2",
        "monitor  10:00:05 monitor 2",
    ]
    assert said(capsys, "gateway", 1) == ["10:00:04 gateway 2"]
    (written / "gateway.log").write_text("no json\n")
    assert said(capsys, "gateway") == ["no json"]


@pytest.mark.usefixtures("written")
def test_a_log_that_there_is_not_names_the_nearest() -> None:
    with pytest.raises(Failed, match="there is no log of gatway; did you mean gateway"):
        logs._files("gatway")


def test_what_doctor_finds_is_broken_between_words_beside_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.text.terminal_width", lambda: 40)
    doctor._print([doctor.Finding("sandbox", "warn", "one word after another, " * 3, "install it " * 5)])
    found = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    assert len(found) == 6 and all(len(line) <= 40 for line in found)
    assert found[0] == "! sandbox  one word after another, one"
    assert found[3:5] == [" " * 11 + "→ install it install it", " " * 13 + "install it install it"]


@pytest.mark.parametrize(("attempts", "said"), [((1, 1), ["a", "b"]), ((1, 2), ["a", "── attempt 2 ──", "b"])])
def test_what_a_further_attempt_printed_is_told_apart(
    attempts: tuple[int, int], said: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    batches = [
        OutputBatch(attempt=attempt, first_seq=0, events=[line]) for attempt, line in zip(attempts, "ab", strict=True)
    ]
    monkeypatch.setattr("cli.tail.stored", lambda _: batches)
    assert task._log(Namespace(id=str(A), follow=False, output="text")) == 0
    assert capsys.readouterr().out.splitlines() == said


def test_an_empty_list_is_said_to_a_person_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    print_table(("#", "TITLE"), [])
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_table(("#", "TITLE"), [])
    assert capsys.readouterr().out == "none\n"
