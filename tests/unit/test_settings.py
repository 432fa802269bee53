"""Settings: the environment wins, and a bad one is named with what is allowed."""

import socket
from pathlib import Path

import pytest

from shared.config import ConfigError, load, unread
from shared.config.sockets import short


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "makima.toml").write_text("port = 1000\nslots = 3\n")
    settings = load({"MAKIMA_HOME": str(tmp_path), "MAKIMA_PORT": "2000", "MAKIMA_LABELS": "gpu,big"})
    assert (settings.port, settings.slots, settings.labels) == (2000, 3, ("gpu", "big"))


@pytest.mark.parametrize(("name", "value"), [("PORT", "x"), ("PORT", "0"), ("SLOTS", "0"), ("PROT", "1")])
def test_a_bad_setting_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name.lower()):
        load({"MAKIMA_HOME": str(tmp_path), f"MAKIMA_{name}": value})


@pytest.mark.parametrize("name", ["x" * 120, "a space", "a,comma", "50%", "it's ünusual?&#"])
def test_a_socket_has_a_name_that_can_be_bound_however_odd_the_home(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    endpoint = load({"MAKIMA_HOME": str(home)}).socket("events-out").removeprefix("ipc://")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(endpoint)
    assert (home / "run" / "events-out.sock").is_socket()
    assert (home / "run").stat().st_mode & 0o077 == 0


def test_a_folder_made_anew_is_reached_by_its_new_name(tmp_path: Path) -> None:
    folder = tmp_path / "a space"
    first = short(folder)
    folder.rename(tmp_path / "old")
    assert not short(folder).samefile(tmp_path / "old")
    assert short(folder).samefile(folder) and first != folder


@pytest.mark.parametrize("at", ["home/makima.toml", "config/makima/makima.toml", "named"])
def test_a_file_of_the_accounts_own_is_read(tmp_path: Path, at: str) -> None:
    (tmp_path / at).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / at).write_text("slots = 3\n")
    places = {"MAKIMA_HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    named = {"MAKIMA_CONFIG": str(tmp_path / at)} if at == "named" else {}
    assert load({**places, **named}).slots == 3


def test_a_file_in_the_current_folder_is_not_read_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"MAKIMA_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    monkeypatch.chdir(tmp_path)
    assert unread(environment) == ""
    (tmp_path / "makima.toml").write_text('[agents.claude]\ncommand = ["./evil.sh"]\n')
    assert load(environment).agents == {}
    assert "is not read" in unread(environment) and ".config/makima" in unread(environment)
    assert unread({"MAKIMA_HOME": str(tmp_path)}) == ""
