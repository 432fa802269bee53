"""A home is its account's alone: made so, and refused where it isn't."""

import os
from pathlib import Path

import pytest

from shared.config import ConfigError
from shared.config.home import check_home, make_home


def test_a_home_that_is_made_lets_nobody_else_in(tmp_path: Path) -> None:
    above = tmp_path.stat().st_mode
    make_home(tmp_path / "a" / "home")
    assert (tmp_path / "a" / "home").stat().st_mode & 0o777 == 0o700
    assert tmp_path.stat().st_mode == above


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o770])
def test_a_home_that_others_can_enter_is_refused_with_the_command_that_fixes_it(tmp_path: Path, mode: int) -> None:
    home = tmp_path / "my home"
    home.mkdir()
    (home / "token").touch()
    home.chmod(mode)
    with pytest.raises(ConfigError, match=rf"mode {mode:o}.*; chmod 700 '{home}'"):
        make_home(home)
    assert home.stat().st_mode & 0o777 == mode, "it is not fixed behind one's back"


def test_a_folder_with_nothing_but_settings_becomes_a_home_and_is_closed(tmp_path: Path) -> None:
    (tmp_path / "makima.toml").write_text("slots = 2\n")
    tmp_path.chmod(0o755)
    make_home(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_settings_that_another_account_may_have_written_make_no_home(tmp_path: Path) -> None:
    (tmp_path / "makima.toml").write_text("slots = 2\n")
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="mode 777"):
        make_home(tmp_path)


def test_a_home_of_another_account_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(ConfigError, match=r"belongs to .*set MAKIMA_HOME"):
        check_home(tmp_path)
