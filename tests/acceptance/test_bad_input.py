"""What can't be is one clear line with its fix and an exit code, and nothing half-made is left."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import ROOT, Cluster, git


def line(error: str) -> str:
    """The one line that an error is."""
    assert error.startswith("makima"), error
    assert error.count("\n") == 1, error
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["dance"], "there is no command 'dance'"),
        (["directive", "dance"], "there is no verb 'dance'"),
        (["directive", "create"], "required: --title"),
        (["directive", "create", "--title", "x", "--colour", "red"], "--colour is not taken here"),
        (["directive", "create", "--title", "x", "--max-parallel", "many"], "invalid int value: 'many'"),
        (["directive", "start"], "required: DIRECTIVE"),
        (["directive", "list", "--status", "asleep"], "there is no --status 'asleep'; there is draft, active"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_where_help_is(tmp_path: Path, arguments: list[str], says: str) -> None:
    error = line(Cluster(tmp_path).makima(*arguments, code=2))
    assert says in error
    assert "--help" in error


@pytest.mark.parametrize("verb", [["directive", "list"], ["task", "list"], ["status"], ["directive", "watch", "x"]])
def test_without_a_cluster_every_verb_says_how_to_start_one(tmp_path: Path, verb: list[str]) -> None:
    done = Cluster(tmp_path).run(*verb)
    said = done.stderr + done.stdout
    assert done.returncode == 1
    assert "`makima up`" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("MAKIMA_COLOUR", "red", "MAKIMA_COLOUR is no setting: `makima config` lists all of them"),
        ("MAKIMA_PORT", "many", "MAKIMA_PORT has the value 'many'"),
        ("MAKIMA_PORT", "70000", "MAKIMA_PORT has the value '70000'"),
        ("MAKIMA_SWEEP_SECONDS", "-1", "MAKIMA_SWEEP_SECONDS has the value '-1'"),
        ("MAKIMA_CONFIG", "/nowhere.toml", "MAKIMA_CONFIG names '/nowhere.toml', which doesn't exist"),
        ("MAKIMA_POSTGRES_URL", "postgresql://x@127.0.0.1:1/x?connect_timeout=1", "Postgres can't be reached"),
    ],
)
def test_a_cluster_with_a_setting_that_cannot_be_does_not_start(
    tmp_path: Path, setting: str, value: str, says: str
) -> None:
    cluster = Cluster(tmp_path / "home")
    cluster.environment[setting] = value
    assert says in line(cluster.makima("up", code=1))
    assert not (tmp_path / "home" / "run" / "cluster.json").exists()


def test_broken_settings_name_the_file_and_its_line(tmp_path: Path) -> None:
    (tmp_path / "makima.toml").write_text("port = 1\nowner = nobody\n")
    cluster = Cluster(tmp_path / "home")
    cluster.environment["MAKIMA_CONFIG"] = str(tmp_path / "makima.toml")
    error = line(cluster.makima("up", code=1))
    assert "makima.toml" in error
    assert "line 2" in error


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "home")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(cluster.environment["MAKIMA_PORT"])))
        taken.listen()
        error = line(cluster.makima("up", code=1))
    assert f"127.0.0.1:{cluster.environment['MAKIMA_PORT']} can't be taken" in error
    assert "MAKIMA_PORT" in error


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    error = line(Cluster(tmp_path / "file" / "home").makima("up", code=1))
    assert "can't be written" in error
    assert "MAKIMA_HOME" in error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["directive", "show", "nonsense"], "no directive is called 'nonsense'"),
        (["directive", "show", "../../metrics"], "no directive is called"),
        (["directive", "start", str(uuid4())], "no directive "),
        (["directive", "watch", str(uuid4())], "no directive "),
        (["directive", "graph", str(uuid4())], "no directive "),
        (["task", "show", str(uuid4())], "no task "),
        (["task", "log", "-f", str(uuid4())], "no task "),
        (["task", "cancel", str(uuid4())], "no task "),
        (["directive", "create", "--title", "x"], "needs a title, and a goal or a plan"),
        (["directive", "create", "--title", "x", "--plan", "/nowhere.yaml"], "/nowhere.yaml: No such file"),
        (["directive", "batch-add-steps", "--directive", str(uuid4()), "--json", "[{"], "--json: "),
        (["directive", "add-step", "x"], "which directive? give --directive ID"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(cluster: Cluster, arguments: list[str], says: str) -> None:
    assert says in line(cluster.makima(*arguments, code=1))


def test_a_base_branch_that_does_not_exist_pauses_with_its_name(cluster: Cluster, origin: Path) -> None:
    plan = str(ROOT / "examples" / "plan.yaml")
    made = cluster.makima(
        "directive", "create", "--title", "x", "--plan", plan, "--repo", str(origin), "--base", "nowhere", "-o", "json"
    )
    directive = json.loads(made)["id"]
    cluster.makima("directive", "start", directive)
    cluster.makima("directive", "watch", directive, "--timeout", "60", code=1)
    assert "nowhere" in cluster.show(directive)["pause_reason"]
    assert git(origin, "for-each-ref", "--format=%(refname:short)", "refs/heads").split() == ["main"]


def test_a_picture_that_cannot_be_written_is_said(cluster: Cluster) -> None:
    plan = str(ROOT / "examples" / "plan.yaml")
    directive = cluster.make("directive", "create", "--title", "x", "--plan", plan)
    assert "can't be written" in line(cluster.makima("directive", "graph", directive, "--svg", "/nowhere/x", code=1))
