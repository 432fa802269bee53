"""Where settings come from: a file of the account's own, then the environment; what can't be is named with its fix."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from shared.config.agents import DEFAULT_AGENTS, AgentSettings
from shared.config.choices import of_field
from shared.config.errors import ConfigError
from shared.config.settings import LISTS, NOT_SETTINGS, Settings
from shared.config.sign_in import refuse_unusable_sign_in
from shared.domain.hosts import Hosts, HostUnreadable
from shared.domain.texts import nearest
from shared.places import home_of

_PREFIX = "MAKIMA_"


@dataclass(frozen=True)
class Given:
    """The settings that somebody gave, before they are looked at, and where each of them stands."""

    values: dict[str, Any]
    origins: dict[str, str]
    """A setting's name -> the file and the line, or the variable of the environment."""
    file: Path | None
    text: str
    """Of the file."""


def load(environment: Mapping[str, str]) -> Settings:
    """The settings in force. Raises ConfigError."""
    given = read(environment)
    values = {**given.values, "home": str(home_of(environment))}
    if "agents" in values:
        values["agents"] = _agents(values["agents"], given)
    try:
        settings = msgspec.convert(values, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        name = re.split(r"[.\[]", where.strip("`").removeprefix("$."))[0]
        if "enum" in what and (taken := of_field(Settings, name)):
            what = f"it is one of {', '.join(taken)}"
        raise ConfigError(f"{_named(name, given.origins)} has the value {values.get(name)!r}: {what}") from None
    _look_at_the_network(settings)
    _look_at_the_gateway(settings)
    refuse_unusable_sign_in(settings)
    return settings


def read(environment: Mapping[str, str]) -> Given:
    """What the file and the environment name. Raises ConfigError for what is no setting."""
    file, values, text = _from_file(environment)
    origins = {name: _place(file, text, "", name) for name in values}
    if "home" in values:
        raise ConfigError(f"{origins['home']}: home can't be set in a file that may lie in it: set MAKIMA_HOME")
    for name in values:
        if name not in Settings.__struct_fields__:
            raise ConfigError(f"{origins[name]}: {_no_setting(name)}")
    for variable, value in environment.items():
        if not variable.startswith(_PREFIX) or variable in NOT_SETTINGS or variable == "MAKIMA_HOME":
            continue
        name = variable.removeprefix(_PREFIX).lower()
        if name not in Settings.__struct_fields__:
            raise ConfigError(_no_setting(name, _PREFIX))
        values[name] = [part for part in value.split(",") if part] if name in LISTS else value
        origins[name] = variable
    return Given(values, origins, file, text)


def unread(environment: Mapping[str, str]) -> str:
    """What to say of a `makima.toml` in the current folder, which is not read: it may be anybody's. Empty without one.

    Agents' programs are named in that file: whoever enters a repository must not run what it says.
    """
    here = Path("makima.toml")
    if not here.exists() or any(path.exists() and path.samefile(here) for path in files(environment)):
        return ""
    *_, folder = files({**environment, "MAKIMA_CONFIG": ""})
    return f"makima.toml of the current folder is not read; move it to {folder}, or name it in MAKIMA_CONFIG"


def files(environment: Mapping[str, str]) -> list[Path]:
    """Where settings may lie; the first that is there counts."""
    if named := environment.get("MAKIMA_CONFIG"):
        return [Path(named)]
    config = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "~")).expanduser() / ".config"
    return [home_of(environment) / "makima.toml", Path(config) / "makima" / "makima.toml"]


def _no_setting(name: str, prefix: str = "") -> str:
    """That there is none of this name, as whoever gave it writes them."""
    near = nearest(name, Settings.__struct_fields__)
    said, meant = [f"{prefix}{n.upper()}" if prefix else n for n in (name, near or "")]
    return f"{said} is no setting: " + (f"did you mean {meant}?" if near else "`makima config` lists all of them")


def _named(name: str, origins: Mapping[str, str]) -> str:
    """A setting as whoever gave it knows it."""
    origin = origins.get(name, "")
    return origin if origin.startswith(_PREFIX) else f"{name} in {origin}"


def _agents(tables: object, given: Given) -> dict[str, AgentSettings]:
    """The `[agents.NAME]` tables: one of a built-in name changes that agent. Raises ConfigError."""
    if not isinstance(tables, dict):
        raise ConfigError(
            f"{_named('agents', given.origins)} is {tables!r}: write a table [agents.NAME] for each agent"
        )
    return {name: _agent(name, table, given) for name, table in tables.items()}


def _agent(name: str, table: object, given: Given) -> AgentSettings:
    def refused(key: str, why: str) -> ConfigError:
        return ConfigError(f"{_place(given.file, given.text, f'agents.{name}', key)}: agent {name}: {why}")

    if not isinstance(table, dict):
        raise refused("", f"{table!r} is no table [agents.{name}]")
    usual = msgspec.structs.asdict(DEFAULT_AGENTS[name]) if name in DEFAULT_AGENTS else {}
    for key in table:
        if key not in AgentSettings.__struct_fields__:
            raise refused(key, f"{key} is no key of an agent: {_key(key)}")
    if "kind" not in table and not usual:
        raise refused("", "kind is missing: one of shell, command, claude, codex, acp")
    try:
        return msgspec.convert({**usual, **table}, AgentSettings, strict=False)
    except msgspec.ValidationError as error:
        what, _, at = str(error).partition(" - at ")
        key = re.split(r"[.\[]", at.strip("`").removeprefix("$."))[0]
        if what.startswith("Expected `array`"):
            what = """write a list: '["one", "another"]'"""
        raise refused(key, f"{key} can't be that: {what}") from None  # its value may hold a key


def _key(name: str) -> str:
    known = AgentSettings.__struct_fields__
    near = nearest(name, known)
    return f"did you mean {near}?" if near else f"there are {', '.join(known)}"


def _look_at_the_network(settings: Settings) -> None:
    try:
        Hosts(settings.network_hosts)
    except HostUnreadable as error:
        raise ConfigError(f"network_hosts: {error}") from None
    for name, agent in settings.agents.items():
        if agent.proxy_holds_key and settings.network != "hosts":
            raise ConfigError(f'[agents.{name}] proxy_holds_key needs network = "hosts", whose proxy holds the key')


def _look_at_the_gateway(settings: Settings) -> None:
    files = {"tls_certificate": settings.tls_certificate, "tls_key": settings.tls_key}
    missing = [name for name, file in files.items() if file is None]
    if len(missing) == 1:
        raise ConfigError(f"{missing[0]} is missing: TLS takes both a certificate and its key")
    for name, file in files.items():
        if file is not None and not file.is_absolute():
            raise ConfigError(f"{name} is {str(file)!r}, a path from nowhere in particular: begin it with /")
    for one in settings.trusted_proxies:
        try:
            ipaddress.ip_network(one)
        except ValueError as error:
            raise ConfigError(f"trusted_proxies: {error}; write 10.0.0.7 or 10.1.0.0/16") from None


def _decode(kind: type, value: Any) -> Path:  # noqa: ANN401
    """The one kind of value that msgspec doesn't know by itself."""
    assert kind is Path
    return Path(value)


def _from_file(environment: Mapping[str, str]) -> tuple[Path | None, dict[str, Any], str]:
    """The file that counts, what it says, and its text."""
    named = environment.get("MAKIMA_CONFIG")
    for path in files(environment):
        try:
            text = path.read_text(encoding="utf-8")
            return path, tomllib.loads(text), text
        except (FileNotFoundError, NotADirectoryError):
            if named:
                raise ConfigError(f"MAKIMA_CONFIG names {named!r}, which doesn't exist") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from None
    return None, {}, ""


def _place(file: Path | None, text: str, table: str, key: str) -> str:
    """Where in a file a key of a table stands, or the table where no key is named; only the file where it isn't found.

    >>> _place(Path("a.toml"), 'port = 1\\n[agents."x"]\\nkind = 2', "agents.x", "kind")
    'a.toml:3'
    """
    within = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+([^\]]+)\]", line):
            within = re.sub(r"[\s\"']", "", header[1])
            if f"{within}.".startswith(f"{table}.{key}.".strip(".") + "."):
                return f"{file}:{number}"
        elif within == table and key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return f"{file}:{number}"
    return str(file)
