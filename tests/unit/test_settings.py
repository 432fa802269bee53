"""Settings: the environment wins, and a bad one is named with what is allowed."""

import socket
from pathlib import Path

import pytest

from shared.config import ConfigError, load, unread
from shared.config.sign_in import client_secret
from shared.config.sockets import short


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "makima.toml").write_text("port = 1000\nslots = 3\n")
    settings = load({"MAKIMA_HOME": str(tmp_path), "MAKIMA_PORT": "2000", "MAKIMA_LABELS": "gpu,big"})
    assert (settings.port, settings.slots, settings.labels) == (2000, 3, ("gpu", "big"))


@pytest.mark.parametrize(("name", "value"), [("PORT", "x"), ("PORT", "0"), ("SLOTS", "0"), ("PROT", "1")])
def test_a_bad_setting_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"MAKIMA_{name}"):
        load({"MAKIMA_HOME": str(tmp_path), f"MAKIMA_{name}": value})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prot = 1", r"makima\.toml:1: prot is no setting: did you mean port\?"),
        ('log_level = "loud"', r"log_level in .*:1 has the value 'loud': it is one of debug, error, info, warning"),
        ('slots = 2\nport = "x"', r"port in .*makima\.toml:2 has the value 'x': Expected `int`"),
        ('home = "/tmp/x"', r"makima\.toml:1: home can't be set in a file .*: set MAKIMA_HOME"),
        ('[agents.claude]\n\nmodle = "opus"', r":3: agent claude: modle is no key of an agent: did you mean model\?"),
        ('[agents.mine]\ncommand = ["x"]', r":1: agent mine: kind is missing: one of shell, command, claude"),
        ('[agents."mine"]\nkind = "clod"', r":2: agent mine: kind can't be that: Invalid enum value 'clod'"),
        ('[agents.codex.price]\ninput = "a lot"', r":1: agent codex: price can't be that: Expected `float`"),
        ("agents = 3", r"agents in .*:1 is 3: write a table \[agents\.NAME\]"),
    ],
)
def test_a_bad_file_is_named_with_the_line_and_the_fix(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "makima.toml").write_text(text)
    with pytest.raises(ConfigError, match=says):
        load({"MAKIMA_HOME": str(tmp_path)})


def test_a_wrong_value_of_an_agent_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "makima.toml").write_text('[agents.claude]\nenvironment = {KEY = "secret", OTHER = 3, MORE = []}')
    with pytest.raises(ConfigError) as refused:
        load({"MAKIMA_HOME": str(tmp_path)})
    assert "secret" not in str(refused.value)


def test_a_table_of_a_built_in_agent_changes_what_it_names_alone(tmp_path: Path) -> None:
    (tmp_path / "makima.toml").write_text('[agents.claude]\nmodel = "opus"\n[agents.codex.price]\ninput = 1.25\n')
    agents = load({"MAKIMA_HOME": str(tmp_path)}).agents
    assert (agents["claude"].kind, agents["claude"].model) == ("claude", "opus")
    assert (agents["codex"].kind, agents["codex"].price.input) == ("codex", 1.25)


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


SIGN_IN = {
    "MAKIMA_PUBLIC_URL": "https://makima.example.com",
    "MAKIMA_OIDC_ISSUER": "https://accounts.example.com/realm",
    "MAKIMA_OIDC_CLIENT_ID": "makima",
}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"MAKIMA_OIDC_ISSUER": "http://accounts.example.com"}, "oidc_issuer is 'http://accounts.example.com': write"),
        ({"MAKIMA_OIDC_ISSUER": "accounts.example.com"}, "oidc_issuer is 'accounts.example.com': write a URL such as"),
        ({"MAKIMA_OIDC_ISSUER": "https://a@accounts.example.com"}, "oidc_issuer is"),
        ({"MAKIMA_OIDC_ISSUER": "https://accounts.example.com/?a=b"}, "oidc_issuer is"),
        ({"MAKIMA_OIDC_ISSUER": "https://accounts.example.com:x"}, "oidc_issuer is"),
        ({"MAKIMA_OIDC_ISSUER": "https://accounts.example.com/\r\nx"}, "oidc_issuer is"),
        ({"MAKIMA_PUBLIC_URL": "http://makima.example.com"}, "public_url is 'http://makima.example.com': write a URL"),
        ({"MAKIMA_PUBLIC_URL": "https://makima.example.com/below"}, "public_url is .*: leave out the path"),
        ({"MAKIMA_PUBLIC_URL": None}, "oidc_issuer is set without public_url; set the address"),
        ({"MAKIMA_OIDC_CLIENT_ID": None}, "oidc_issuer is set without oidc_client_id; set what"),
        ({"MAKIMA_OIDC_CLAIM": "sub"}, "MAKIMA_OIDC_CLAIM has the value 'sub'"),
        ({"MAKIMA_SIGN_IN_DAYS": "0"}, "MAKIMA_SIGN_IN_DAYS has the value '0'"),
    ],
)
def test_sign_in_that_could_not_be_safe_is_refused_with_the_fix(
    tmp_path: Path, changed: dict[str, str | None], says: str
) -> None:
    environment = {"MAKIMA_HOME": str(tmp_path), **SIGN_IN, **changed}
    assert load({"MAKIMA_HOME": str(tmp_path), **SIGN_IN}).oidc_claim == "email"
    with pytest.raises(ConfigError, match=says):
        load({name: value for name, value in environment.items() if value is not None})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8420", "http://localhost:8420", "http://[::1]:8420"])
def test_a_trial_on_one_machine_needs_no_certificate(tmp_path: Path, url: str) -> None:
    at = {"MAKIMA_PUBLIC_URL": url, "MAKIMA_OIDC_ISSUER": url}
    assert load({"MAKIMA_HOME": str(tmp_path), **SIGN_IN, **at}).oidc_issuer == url


def test_a_clients_secret_is_a_line_in_a_file_of_this_account_alone(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    for content, mode, says in (
        (None, 0, "can't be read: No such file"),
        (b"secret", 0o640, r"is open to other accounts \(mode 640\); chmod 600 "),
        (b"", 0o600, "holds no secret"),
        (b"\n", 0o600, "holds no secret"),
        (b"one\ntwo\n", 0o600, "holds no secret"),
        (b"x" * 5000, 0o600, "holds no secret"),
        (b"\xff", 0o600, "is no ASCII"),
    ):
        if content is not None:
            file.write_bytes(content)
            file.chmod(mode)
        with pytest.raises(ConfigError, match=says):
            client_secret(file)
    file.write_bytes(b"secret\n")
    assert client_secret(file) == "secret"
