"""A command line read: what is wrong with it is said in one line, with what was probably meant."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from cli.output import refuse
from shared.domain.texts import nearest

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


_TOKEN = re.compile(r"\bmk[a-z]_\S+")
"""A secret that was typed where none is taken: it isn't said again."""


class Help(argparse.HelpFormatter):
    """Texts of several lines stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong; exit code 2."""

    def __init__(self, *args: Any, **more: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **{"allow_abbrev": False, "formatter_class": Help, **more})

    def error(self, message: str) -> NoReturn:
        """Say it and end."""
        said = _TOKEN.sub("***", " ".join(message.split()))
        refuse(f"makima: {said}{' See' if said.endswith('?') else '; see'} {self.prog} --help")
        self.exit(2)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """The arguments; an unknown option is named, with the nearest of those that there are."""
        parsed, left = self.parse_known_args(args, namespace)
        if left:
            known = {option for parser in tree(self) for option in parser._option_string_actions}
            self.error(f"{left[0]} is not taken here{meant(left[0].partition('=')[0], known)}")
        return parsed

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """As argparse does, which would hide that it can't be written."""
        (file or sys.stderr).write(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # noqa: ANN401
        if action.choices is not None and value not in action.choices:
            what = action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest).lower()
            choices = [str(choice) for choice in action.choices]
            below = " or ".join(_below(action, str(value)))
            near = f"; did you mean {below}?" if below else meant(str(value), choices)
            near = near or f"; there is {', '.join(choices)}"
            raise argparse.ArgumentError(None, f"there is no {what} {value!r}{near}")


def meant(word: str, known: Iterable[str]) -> str:
    """A question after the known word that is nearest to one, if any is near.

    >>> meant("staus", ["status", "inbox"])
    '; did you mean status?'
    """
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""


def _below(action: argparse.Action, verb: str) -> Iterator[str]:
    """The commands with a verb of this name: what is meant where the command before it was left out."""
    if isinstance(action, argparse._SubParsersAction):
        for command, parser in action.choices.items():
            for verbs in parser._actions:
                if isinstance(verbs, argparse._SubParsersAction) and verb in verbs.choices:
                    yield f"{command} {verb}"


def tree(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and all below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in dict.fromkeys(action.choices.values()):
                yield from tree(below)
