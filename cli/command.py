"""What every verb shares: how it is declared, and how it prints."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cli.client import call

if TYPE_CHECKING:
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


def print_json(value: object) -> int:
    """Print for programs; exit code 0."""
    print(json.dumps(value, indent=2))
    return 0


def say(text: str) -> int:
    """Print for people; exit code 0."""
    print(text)
    return 0


def listing(path: str, *columns: str) -> Verb:
    """A verb that prints the rows behind a path, a line each."""

    def verb(arguments: Arguments) -> int:
        rows: Sequence[dict[str, Any]] = call("GET", path)
        if arguments.output == "json":
            return print_json(rows)
        for row in rows:
            print("  ".join(str(row[c] if row[c] is not None else "-") for c in columns))
        return 0

    return verb
