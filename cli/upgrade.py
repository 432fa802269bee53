"""`makima upgrade-check`: what the database is like, and what starting this version on it would do."""

from __future__ import annotations

import argparse

import msgspec

from cli.client import Failed
from cli.command import Arguments, declare, print_json, say, settings
from cli.text import clean


class Upgrade(msgspec.Struct, frozen=True, kw_only=True):
    """What an upgrade would do; nothing was changed."""

    version: str
    """Of this makima."""
    schema: str | None
    """The last migration that the database has; null: none yet."""
    due: list[str]
    """The migrations that the next start applies, in their order."""
    definitions_change: bool
    """The next start applies other functions and views."""
    refused: str | None
    """Why this version doesn't start on the database; null when it does."""


def register(command: argparse.ArgumentParser) -> None:
    """Declare `upgrade-check`."""
    declare(command, _check, "makima upgrade-check", "makima upgrade-check -o json")


def _check(arguments: Arguments) -> int:
    found = look()
    if arguments.output == "json":
        print_json(found)
    else:
        for line in told(found):
            say(line)
    return 1 if found.refused else 0


def look() -> Upgrade:
    """Compare the database with what this version knows. Raises Failed where there is none to be asked."""
    import psycopg

    from shared.store.migrate import compare
    from shared.version import VERSION

    try:
        schema = compare(settings().postgres())
    except psycopg.Error as error:
        why = str(error).strip().partition("\n")[0]
        raise Failed(f"the database can't be asked ({clean(why)}); `makima up` starts it") from None
    return Upgrade(
        version=VERSION,
        schema=schema.newest,
        due=schema.due,
        definitions_change=schema.definitions_change,
        refused=schema.refused,
    )


def told(found: Upgrade) -> list[str]:
    """The same in words."""
    lines = [f"makima {found.version}", f"  the database's schema   {found.schema or 'none yet'}"]
    if found.refused:
        return [*lines, f"✘ {found.refused}"]
    due = [*found.due, *(["the functions and views of this version"] if found.definitions_change else [])]
    if not due:
        return [*lines, "✔ nothing to do: it is as this version has it"]
    applied = [f"  the next start applies  {what}" for what in due]
    return [*lines, *applied, "Before it: makima db backup FILE. Then: makima down, and makima up"]
