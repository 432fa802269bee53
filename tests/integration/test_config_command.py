"""`makima config`: what is in force and why, and the file written whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


def config(folder: Path, *arguments: str, code: int = 0, **more: str) -> str:
    """Run it with a home and a settings folder of its own; its output, or its error line."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "MAKIMA_HOME": str(folder / "h"),
        **more,
    }
    argv = [sys.executable, "-m", "cli", "config", *arguments]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def test_each_value_is_shown_with_where_it_comes_from(tmp_path: Path) -> None:
    config(tmp_path, "set", "slots", "7")
    rows = {r["name"]: r for r in json.loads(config(tmp_path, "-o", "json", MAKIMA_OWNER="me"))}
    file = tmp_path / ".config" / "makima" / "makima.toml"
    assert (rows["slots"]["value"], rows["slots"]["from"]) == ("7", f"{file}:1")
    assert (rows["owner"]["value"], rows["owner"]["from"]) == ("me", "MAKIMA_OWNER")
    assert rows["port"]["from"] == "default"
    assert rows["home"]["from"] == "MAKIMA_HOME"
    assert rows["pull_request_watch"]["value"] == "true", "as `set` takes it"
    assert config(tmp_path, "--given", MAKIMA_OWNER="me").split() == [
        "home",
        str(tmp_path / "h"),
        "MAKIMA_HOME",
        "owner",
        "me",
        "MAKIMA_OWNER",
        "slots",
        "7",
        f"{file}:1",
    ]


def test_what_a_person_wrote_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / ".config" / "makima" / "makima.toml"
    file.parent.mkdir(parents=True)
    file.write_text("# mine\nslots = 3  # few\n")
    config(tmp_path, "set", "agents.claude.model", "opus")
    config(tmp_path, "set", "labels", '["gpu"]')
    assert file.read_text().startswith("# mine\nslots = 3  # few\n")
    assert config(tmp_path, "unset", "slots").startswith("slots has its default again")
    rows = {r["name"]: r["value"] for r in json.loads(config(tmp_path, "-o", "json"))}
    assert (rows["slots"], rows["labels"], rows["agents"]) == ("4", "gpu", "claude")
    assert 'model = "opus"' in file.read_text() and file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("set", "prot", "1"), "prot is no setting: did you mean port?"),
        (("set", "port", "many"), "has the value 'many'"),
        (("set", "agents.claude.modle", "opus"), "modle is no key of an agent: did you mean model?"),
        (("set", "slots..x", "1"), "names no setting"),
        (("set", "agents.claude.pass_environment", "ANTHROPIC_API_KEY"), """write a list: '["one", "another"]'"""),
        (("unset", "slots"), "doesn't set slots: nothing to take out"),
    ],
)
def test_what_no_start_would_take_is_refused_and_nothing_is_written(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    said = config(tmp_path, *arguments, code=1)
    assert says in said and said.count("\n") == 1
    assert ".draft" not in said
    folder = tmp_path / ".config" / "makima"
    assert not folder.exists() or not list(folder.iterdir())


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    assert "hunter2" not in config(tmp_path, MAKIMA_POSTGRES_URL="postgresql://me:hunter2@127.0.0.1/x")
