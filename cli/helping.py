"""`makima help` and `makima completions`: what is said of the command line itself."""

from __future__ import annotations

import argparse

from cli.command import Arguments, declare, say
from cli.completing import SHELLS, say_script
from cli.naming import CALLED
from cli.text import aligned, wrapped

EXIT_CODES = (
    ("0", "done; of a watch: delivered"),
    ("1", "failed, with one line on standard error; of a watch, of `status` and of `doctor`: stopped, or not well"),
    ("2", "wrong usage: a command, an option or a value that there is not"),
    ("124", "of a watch: its --timeout is over, and the work goes on"),
    ("130", "Ctrl-C; of a watch: the work goes on"),
    ("141", "whoever read its output reads no more"),
)
TOPICS = ("names", "exit-codes")


def helps(command: argparse.ArgumentParser) -> None:
    """Declare `help`."""
    from cli.main import COMMANDS

    declare(command, _help, "makima help directive create", "makima help names", "makima help exit-codes")
    about = command.add_argument(
        "about", nargs="*", metavar="COMMAND|names|exit-codes", help="a command and its verb, or one of these topics"
    )
    about.completer = lambda **_: [*COMMANDS, *TOPICS]  # type: ignore[attr-defined]


def completions(command: argparse.ArgumentParser) -> None:
    """Declare `completions`."""
    declare(command, _completions, "source <(makima completions bash)", "makima completions fish | source")
    command.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"yours: {', '.join(SHELLS)}")


def names() -> list[str]:
    """How things are called, a line each."""
    return [line for kind, called in CALLED.items() if kind != "anything" for line in (f"{kind}: {called}",)]


def _help(arguments: Arguments) -> int:
    from cli.main import main

    match arguments.about:
        case ["names"]:
            for line in names():
                _say_wrapped(line)
            _say_wrapped("Left out where that is offered, it is the only directive under way, or the newest.")
            return 0
        case ["exit-codes"]:
            for line in aligned(EXIT_CODES):
                _say_wrapped(line)
            return 0
        case about:
            return main([*about, "--help"])


def _say_wrapped(text: str) -> None:
    for line in wrapped(text):
        say(line)


def _completions(arguments: Arguments) -> int:
    say_script(arguments.shell)
    return 0
