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


def test_lists_are_given_with_commas(tmp_path: Path) -> None:
    given = {"MAKIMA_NETWORK_HOSTS": "a.example.com,10.0.0.0/8:5000", "MAKIMA_NETWORK_PRESETS": "npm,pypi"}
    settings = load({"MAKIMA_HOME": str(tmp_path), **given})
    assert settings.network_hosts == ("a.example.com", "10.0.0.0/8:5000")
    assert settings.network_presets == ("npm", "pypi")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('network_hosts = ["http://example.com"]', "network_hosts.*is no host"),
        ('network_presets = ["nobody"]', "network_presets"),
        ('network = "closed"', "network"),
        (
            '[agents.claude]\nkind = "claude"\nproxy_holds_key = true',
            'agents.claude.proxy_holds_key.*network = "hosts"',
        ),
    ],
)
def test_a_network_that_can_not_be_is_refused_at_the_start(tmp_path: Path, settings: str, words: str) -> None:
    (tmp_path / "makima.toml").write_text(settings)
    with pytest.raises(ConfigError, match=words):
        load({"MAKIMA_HOME": str(tmp_path), "MAKIMA_CONFIG": str(tmp_path / "makima.toml")})
