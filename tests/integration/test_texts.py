"""A real daemon process: no text of an agent's carries a secret out of it, and a denial is no success in silence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shared.messages.reports import TaskFailed, TaskSucceeded
from tests.daemon_harness import DaemonHarness

TOKEN = "mkt-0123456789-only-for-this-task"
KEY = "correct-horse-battery-staple"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[DaemonHarness]:
    house = DaemonHarness(tmp_path, GITEA_TOKEN=KEY)
    yield house
    house.close()


def everything_kept(house: DaemonHarness) -> str:
    """What the daemon has said, and what of it lies in its journal."""
    journal = house.folder / "h" / "daemons" / "d1" / "journal"
    said = msgspec.json.encode(house.seen).decode()
    return said + journal.read_text(errors="replace")


def test_neither_an_outcome_nor_a_commit_nor_a_journal_holds_a_secret(house: DaemonHarness) -> None:
    script = f'echo $MAKIMA_TOKEN {KEY}; git commit -q --allow-empty -m "use $MAKIMA_TOKEN"; echo the key is {KEY}'
    command = house.spawn(script, token=TOKEN)
    house.send(command)
    end = house.ending(command.task)
    assert isinstance(end, TaskSucceeded), end
    assert end.outcome.endswith("the key is ***") and [c.subject for c in end.commits] == ["use ***"]
    assert TOKEN not in everything_kept(house) and KEY not in everything_kept(house)


def test_a_failure_holds_no_secret_and_no_password_of_an_address(house: DaemonHarness) -> None:
    url = "http://me:hunter2secret@127.0.0.1:1/acme/shop.git"
    command = house.spawn("true", token=TOKEN, repository_url=url)
    house.send(command)
    end = house.ending(command.task)
    assert isinstance(end, TaskFailed) and "127.0.0.1" in end.reason
    assert "hunter2secret" not in everything_kept(house)


@pytest.mark.parametrize("writes", [False, True])
def test_a_denied_agent_that_changed_nothing_is_blocked_and_one_that_worked_says_what_it_was_denied(
    tmp_path: Path, writes: bool
) -> None:
    denials = [{"tool_name": "Write", "tool_use_id": "t", "tool_input": {"file_path": "one.txt"}}]
    result = {"type": "result", "is_error": False, "result": "Please approve.", "permission_denials": denials}
    claude = tmp_path / "claude"
    work = "echo two > two.txt" if writes else "true"
    claude.write_text(f"#!/bin/bash\nread -r _\n{work}\ncat <<'E'\n{json.dumps(result)}\nE\n")
    claude.chmod(0o755)
    (tmp_path / "house").mkdir()
    settings = tmp_path / "makima.toml"
    settings.write_text(f'[agents.claude]\nkind = "claude"\ncommand = ["{claude}"]\n')
    house = DaemonHarness(tmp_path / "house", MAKIMA_CONFIG=str(settings))
    try:
        command = house.spawn("do it", agent="claude")
        house.send(command)
        end = house.ending(command.task)
    finally:
        house.close()
    if writes:
        assert isinstance(end, TaskSucceeded), end
        assert end.outcome == "Please approve.\n\nIt was denied: Write one.txt" and end.files_changed == ("two.txt",)
    else:
        assert isinstance(end, TaskFailed) and end.blocked
        assert "denied: Write one.txt" in end.reason and "[agents.claude]" in end.reason
