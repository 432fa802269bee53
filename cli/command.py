"""What every verb shares: how it is declared, and how it prints."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cli.client import Failed

if TYPE_CHECKING:
    from shared.api.tasks import Accepted
    from shared.config import Settings

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


Arguments = argparse.Namespace
Verb = Callable[[Arguments], int]


def verbs_of(command: argparse.ArgumentParser) -> Verbs:
    """The place for a command's verbs."""
    return command.add_subparsers(required=True, metavar="VERB")


def add_verb(verbs: Verbs, name: str, verb: Verb, says: str, *examples: str) -> argparse.ArgumentParser:
    """Declare a verb; the parser takes its arguments."""
    return declare(verbs.add_parser(name, help=says, description=says), verb, *examples)


def declare(command: argparse.ArgumentParser, verb: Verb, *examples: str) -> argparse.ArgumentParser:
    """Make a parser carry out a verb, with `-o` and `--owner` as everywhere, and examples of it."""
    command.add_argument(
        "-o", dest="output", choices=("text", "json"), default="text", help="text for people, JSON for programs"
    )
    command.add_argument("--owner", metavar="OWNER", help="in this owner, for the cluster's administrator")
    command.set_defaults(verb=verb, examples=examples)
    command.epilog = "\n".join(["for example:", *(f"  {example}" for example in examples)]) if examples else None
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
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value)).decode())
    return 0


def print_accepted(arguments: Arguments, answer: Accepted) -> int:
    """Print what was promised; exit code 0."""
    return print_json(answer) if arguments.output == "json" else say(answer.status)


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
    """Print rows in columns; under a head where a person reads it, who is told too when there are none."""
    from cli.text import columns, terminal_width

    if rows:
        print("\n".join(columns([head, *rows] if head and sys.stdout.isatty() else rows, terminal_width())))
    elif head and sys.stdout.isatty():
        print("none")
