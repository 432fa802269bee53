"""`makima config`: every setting in force and where its value comes from; `set` and `unset` write the file."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cli.client import Failed
from cli.command import Arguments, add_verb, declare, print_json, print_table, say
from cli.text import clean

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

DEFAULT = "default"


def register(command: argparse.ArgumentParser) -> None:
    """Declare `config` and its verbs."""
    declare(command, _show, "makima config", "makima config --given", "makima config set slots 8")
    command.add_argument("--given", action="store_true", help="only what somebody gave")
    verbs = command.add_subparsers(metavar="VERB")
    change = add_verb(
        verbs,
        "set",
        _set,
        "write a setting into the settings file; it counts from the next start",
        "makima config set slots 8",
    )
    named = change.add_argument("name", help="e.g. slots, agents.claude.model")
    change.add_argument("value", help="as in TOML; what is no TOML is taken as text")
    remove = add_verb(verbs, "unset", _unset, "take a setting out of the settings file", "makima config unset slots")
    taken = remove.add_argument("name", help="e.g. slots, agents.claude.model")
    for action in (named, taken):
        action.completer = _names  # type: ignore[attr-defined]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A setting in force."""

    name: str
    value: str
    """In words, without secrets."""
    origin: str = msgspec.field(name="from")
    """Where it comes from: a file, a variable, or `default`."""


def _names(**_: object) -> list[str]:
    from shared.config.settings import Settings

    return list(Settings.__struct_fields__)


def in_force() -> list[Setting]:
    """Each setting with its value, in words without secrets, and where that comes from. Raises Failed."""
    from cli.command import settings
    from shared.config.reading import read

    found = settings()
    origins = read(os.environ).origins
    origins["home"] = "MAKIMA_HOME" if "MAKIMA_HOME" in os.environ else DEFAULT
    return [
        Setting(name=name, value=_words(name, getattr(found, name)), origin=origins.get(name, DEFAULT))
        for name in found.__struct_fields__
    ]


def _words(name: str, value: object) -> str:
    """A setting's value; what may hold a secret only by what it is called."""
    from shared.domain.texts import without_credentials

    if name == "postgres_url" and value:
        return without_credentials(str(value))
    if isinstance(value, dict | tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()  # as `set` takes it
    return "none" if value is None else str(value)


def _show(arguments: Arguments) -> int:
    rows = [row for row in in_force() if not arguments.given or row.origin != DEFAULT]
    if arguments.output == "json":
        return print_json(rows)
    if not rows:
        return say("all settings have their defaults")
    told = [(row.name, clean(row.value), "" if row.origin == DEFAULT else clean(row.origin)) for row in rows]
    print_table((), told)
    return 0


def _set(arguments: Arguments) -> int:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    path, document = _document()
    *tables, key = _parts(arguments.name)
    try:
        value = tomlkit.value(arguments.value)
    except TOMLKitError:
        value = tomlkit.item(arguments.value)
    at: Any = document
    for table in tables:
        if table not in at:
            at[table] = tomlkit.table(is_super_table=table == "agents")
        at = at[table]
    try:
        at[key] = value
    except (TypeError, TOMLKitError):
        raise Failed(f"{arguments.name} is no place for a value in {path}") from None
    _write(path, document)
    return say(f"{arguments.name} = {value.as_string()} in {path}, from the next `makima up` on")


def _unset(arguments: Arguments) -> int:
    path, document = _document()
    *tables, key = _parts(arguments.name)
    at: Any = document
    for table in tables:
        at = at.get(table, {})
    if key not in at:
        raise Failed(f"{path} doesn't set {clean(arguments.name)}: nothing to take out")
    del at[key]
    _write(path, document)
    return say(f"{arguments.name} has its default again, from the next `makima up` on")


def _parts(name: str) -> list[str]:
    parts = name.split(".")
    if not all(parts):
        raise Failed(f"{clean(name)!r} names no setting: say e.g. slots, or agents.claude.model")
    return parts


def _document() -> tuple[Path, TOMLDocument]:
    """The settings file, made if there is none, as it stands. Raises Failed."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    from shared.config.reading import files

    places = files(os.environ)
    path = next((place for place in places if place.exists()), places[-1])
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return path, tomlkit.parse(text)
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise Failed(f"{path}: {error}") from None


def _write(path: Path, document: TOMLDocument) -> None:
    """Write the file whole or not at all, and only what a start would take. Raises Failed."""
    import tomlkit

    from shared.config import ConfigError, load

    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        draft.write_text(tomlkit.dumps(document), encoding="utf-8")
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MAKIMA_") or k == "MAKIMA_HOME"}
        load({**kept, "MAKIMA_CONFIG": str(draft)})
        draft.replace(path)
    except ConfigError as error:
        raise Failed(str(error).replace(str(draft), str(path))) from None
    except OSError as error:
        raise Failed(f"{path} can't be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
