"""Settings: the environment wins, and a bad one is named with what is allowed."""

from pathlib import Path

import pytest

from shared.config import ConfigError, load


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "makima.toml").write_text("port = 1000\nslots = 3\n")
    settings = load({"MAKIMA_HOME": str(tmp_path), "MAKIMA_PORT": "2000", "MAKIMA_LABELS": "gpu,big"})
    assert (settings.port, settings.slots, settings.labels) == (2000, 3, ("gpu", "big"))


@pytest.mark.parametrize(("name", "value"), [("PORT", "x"), ("PORT", "0"), ("SLOTS", "0"), ("PROT", "1")])
def test_a_bad_setting_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name.lower()):
        load({"MAKIMA_HOME": str(tmp_path), f"MAKIMA_{name}": value})


def test_sockets_of_a_long_home_get_a_short_path() -> None:
    settings = load({"MAKIMA_HOME": "/" + "x" * 120})
    assert len(settings.socket("events-out")) < 100
