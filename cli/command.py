"""What every verb shares: how it is declared, and how it prints."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cli.client import Failed, call
from cli.text import clean

if TYPE_CHECKING:
    from shared.config import Settings

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


Arguments = argparse.Namespace
Verb = Callable[[Arguments], int]


def verbs_of(command: argparse.ArgumentParser) -> Verbs:
    """The place for a command's verbs."""
    return command.add_subparsers(required=True, metavar="VERB")


def add_verb(verbs: Verbs, name: str, verb: Verb, says: str) -> argparse.ArgumentParser:
    """Declare a verb; the parser takes its arguments."""
    return declare(verbs.add_parser(name, help=says, description=says), verb)


def declare(command: argparse.ArgumentParser, verb: Verb) -> argparse.ArgumentParser:
    """Make a parser carry out a verb, with `-o` as everywhere."""
    command.add_argument("-o", dest="output", choices=("text", "json"), default="text", help="how to print")
    command.set_defaults(verb=verb)
    return command


def settings() -> Settings:
    """The settings in force here, for what works on this machine's own state. Raises Failed."""
    from shared.config import ConfigError, load

    try:
        return load(os.environ)
    except ConfigError as error:
        raise Failed(str(error)) from None


def print_json(value: object) -> int:
    """Print for programs; exit code 0. Structs are told as the gateway tells them."""
    if not isinstance(value, str | int | float | None):
        import msgspec

        value = msgspec.to_builtins(value)
    print(json.dumps(value, indent=2))
    return 0


def say(text: str) -> int:
    """Print for people; exit code 0."""
    print(text)
    return 0


def say_line(text: str) -> None:
    """Print a line for people, cut where a terminal would wrap it."""
    from cli.text import cut, terminal_width

    width = terminal_width()
    print(cut(text, width) if width else text)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, under a head where a person reads it."""
    from cli.text import columns, terminal_width

    if rows:
        print("\n".join(columns([head, *rows] if head and sys.stdout.isatty() else rows, terminal_width())))


def listing(path: str, *columns: str) -> Verb:
    """A verb that prints the rows behind a path, a line each."""

    def verb(arguments: Arguments) -> int:
        rows: Sequence[dict[str, Any]] = call("GET", path)
        if arguments.output == "json":
            return print_json(rows)
        cells = [[clean(row[c]) if row[c] is not None else "-" for c in columns] for row in rows]
        print_table([c.upper() for c in columns], cells)
        return 0

    return verb
