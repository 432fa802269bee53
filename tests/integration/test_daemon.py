"""A real daemon process: what it takes, does, reports, survives."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.messages.commands import CancelTask
from shared.messages.reports import (
    Goodbye,
    Heartbeat,
    Hello,
    Identify,
    NotYours,
    OutputBatch,
    TaskAccepted,
    TaskFailed,
    TaskInterrupted,
    TaskStarted,
    TaskSucceeded,
)
from tests.daemon_harness import DaemonHarness, marked, no_process_of, sh


@pytest.fixture
def house(tmp_path: Path) -> Iterator[DaemonHarness]:
    house = DaemonHarness(tmp_path)
    yield house
    house.close()


@pytest.fixture
def unconfined(tmp_path: Path) -> Iterator[DaemonHarness]:
    """A house whose daemon has no sandbox, which would end by itself what an attempt leaves."""
    house = DaemonHarness(tmp_path, MAKIMA_SANDBOX="off")
    yield house
    house.close()


def test_a_shell_task_is_accepted_started_heard_and_delivered(house: DaemonHarness) -> None:
    hello = house.wait(lambda r: isinstance(r, Hello))
    assert isinstance(hello, Hello) and "shell" in hello.agents and hello.capacity == 4
    command = house.spawn('echo "task $MAKIMA_TASK_ID"; echo b >b.txt; echo done', token="t")
    house.send(command)
    end = house.ending(command.task)
    assert isinstance(end, TaskSucceeded), end
    kinds = [type(r) for r in house.seen if getattr(r, "task", None) == command.task]
    assert list(dict.fromkeys(kinds)) == [TaskAccepted, TaskStarted, OutputBatch, TaskSucceeded]
    lines = [line for r in house.seen if isinstance(r, OutputBatch) for line in r.lines]
    assert lines == [f"task {command.task}", "done"]
    assert end.outcome.endswith("done") and end.files_changed == ("b.txt",)
    assert [(c.sha, c.subject) for c in end.commits] == [(end.head, "Do it")]
    assert sh(house.remote, "git", "rev-parse", command.branch) == end.head
    assert str(command.task) in sh(house.remote, "git", "log", "-1", "--format=%B", command.branch)


def test_a_command_that_comes_twice_runs_once(house: DaemonHarness, tmp_path: Path) -> None:
    command = house.spawn(f"echo run >>{tmp_path}/count")
    house.send(command, command)
    house.ending(command.task)
    house.send(command)
    after = house.spawn("true")
    house.send(after)
    house.ending(after.task)
    assert (tmp_path / "count").read_text() == "run\n"


def test_a_cancelled_task_ends_with_its_whole_tree(house: DaemonHarness) -> None:
    stubborn = "trap '' TERM; setsid sleep 300 & (trap '' TERM; sleep 301) & while :; do sleep 0.1; done"
    command = house.spawn(stubborn)
    house.send(command)
    house.wait(lambda r: isinstance(r, TaskStarted))
    house.send(CancelTask(task=command.task, attempt=1, owner="default", reason="enough"))
    end = house.ending(command.task)
    assert isinstance(end, TaskInterrupted) and end.cancelled and end.reason == "enough"
    assert not marked(command.task)
    assert command.branch not in house.branches()


def test_cancelled_before_its_first_step_it_is_interrupted(house: DaemonHarness) -> None:
    command = house.spawn("sleep 300")
    house.send(command, CancelTask(task=command.task, attempt=1, owner="default"))
    end = house.ending(command.task)
    assert isinstance(end, TaskInterrupted) and end.cancelled


def test_what_is_not_ours_is_killed_and_never_pushed(house: DaemonHarness) -> None:
    command = house.spawn("echo x >x; sleep 300")
    house.send(command)
    house.wait(lambda r: isinstance(r, TaskStarted))
    house.reply(NotYours(task=command.task, attempt=1))
    house.wait(lambda r: isinstance(r, Heartbeat) and not r.running and bool(house.seen))
    assert no_process_of(command.task)
    after = house.spawn("true")
    house.send(after)
    house.ending(after.task)
    assert command.branch not in house.branches()
    assert not any(
        isinstance(r, TaskInterrupted | TaskSucceeded | TaskFailed) and r.task == command.task for r in house.seen
    )


def test_killed_it_takes_along_what_runs_in_its_sandbox(house: DaemonHarness) -> None:
    command = house.spawn("setsid env -i sleep 300 & echo begun; sleep 301")
    house.send(command)
    house.wait(lambda r: isinstance(r, OutputBatch))
    assert marked(command.task)
    house.process.kill()
    house.process.wait()
    assert no_process_of(command.task)


def test_killed_and_restarted_it_reports_the_task_interrupted_and_leaves_no_process(unconfined: DaemonHarness) -> None:
    house = unconfined
    command = house.spawn("setsid sleep 300 & echo begun; sleep 301")
    house.send(command)
    house.wait(lambda r: isinstance(r, OutputBatch))
    house.process.kill()
    house.process.wait()
    assert marked(command.task)
    house.start()
    end = house.ending(command.task)
    assert isinstance(end, TaskInterrupted) and not end.cancelled
    assert not marked(command.task)
    assert not list((house.settings.home / "daemons" / "d1" / "worktrees").iterdir())


def test_reports_that_nobody_acknowledged_come_again_after_a_restart(house: DaemonHarness) -> None:
    house.acknowledging = False
    command = house.spawn("echo x")
    house.send(command)
    end = house.ending(command.task)
    house.process.kill()
    house.process.wait()
    house.seen.clear()
    house.start()
    assert house.ending(command.task) == end
    house.seen.clear()
    house.reply(Identify())
    house.wait(lambda r: isinstance(r, Hello))
    assert house.ending(command.task) == end


def test_sigterm_interrupts_and_says_goodbye(house: DaemonHarness) -> None:
    command = house.spawn("sleep 300")
    house.send(command)
    house.wait(lambda r: isinstance(r, TaskStarted))
    house.process.send_signal(signal.SIGTERM)
    end = house.ending(command.task)
    assert isinstance(end, TaskInterrupted) and not end.cancelled
    house.wait(lambda r: isinstance(r, Goodbye))
    assert house.process.wait(10) == 0
    assert not marked(command.task)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"agent": "nobody"}, "no agent 'nobody', only shell, claude, codex"),
        ({"kind": "plan"}, "can't plan prose"),
        ({"repository_url": "/nowhere/at/all"}, "can't be cloned"),
        ({"base_branch": "gone"}, "'gone' doesn't exist"),
    ],
)
def test_what_a_retry_cannot_fix_fails_for_good(house: DaemonHarness, more: dict[str, object], words: str) -> None:
    command = house.spawn("true", **more)
    house.send(command)
    end = house.ending(command.task)
    assert isinstance(end, TaskFailed) and end.permanent and words in end.reason


def test_a_failing_script_says_its_exit_code_and_its_tail(house: DaemonHarness) -> None:
    command = house.spawn("echo oh no >&2; exit 3")
    house.send(command)
    end = house.ending(command.task)
    assert isinstance(end, TaskFailed) and not end.permanent
    assert end.exit_code == 3 and end.tail == "oh no"


def test_a_plan_runs_its_last_fenced_block_and_pushes_nothing(house: DaemonHarness) -> None:
    command = house.spawn("Plan.\n```sh\necho first\n```\n```sh\necho second\n```\n", kind="plan")
    house.send(command)
    end = house.ending(command.task)
    assert isinstance(end, TaskSucceeded) and end.outcome == "second" and end.branch is None
    assert house.branches() == ["main"]


def test_a_grandchild_that_holds_the_pipe_does_not_hold_up_the_end(house: DaemonHarness) -> None:
    command = house.spawn("sleep 300 & echo done")
    house.send(command)
    assert isinstance(house.ending(command.task), TaskSucceeded)
    assert not marked(command.task)


def test_without_a_repository_it_works_in_an_empty_folder(house: DaemonHarness) -> None:
    command = house.spawn("ls -A | wc -l", repository_url=None)
    house.send(command)
    end = house.ending(command.task)
    assert isinstance(end, TaskSucceeded) and end.outcome.strip() == "0" and end.branch is None


def test_a_flood_of_output_is_cut_and_holds_up_nothing(house: DaemonHarness) -> None:
    command = house.spawn("yes 'some words of a line' | head -c 200M || true; head -c 50M /dev/zero; echo; echo done")
    house.send(command)
    end = house.ending(command.task)
    assert isinstance(end, TaskSucceeded) and end.outcome.endswith("\ndone\n\nnothing changed")
    lines = [line for r in house.seen if isinstance(r, OutputBatch) for line in r.lines]
    assert sum(len(line) + 1 for line in lines) < 21 << 20 and lines[-1] == "done"
    assert any(line.startswith("[") and line.endswith(" bytes cut]") for line in lines)
    peak = (Path("/proc") / str(house.process.pid) / "status").read_text().partition("VmHWM:")[2].split()[0]
    assert int(peak) < 200 << 10, f"{peak} KiB"
