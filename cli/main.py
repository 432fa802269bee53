"""The commands of `makima`, and where errors become words."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from cli.client import Failed, act_in
from cli.command import Verb
from cli.completing import contexts
from cli.gateways import chosen, take_context
from cli.naming import resolve
from cli.output import SIGINT, SIGNALLED, finish, make_safe, refuse, refused
from cli.parsing import Parser

COMMANDS = {
    "run": ("cli.run:register", "a goal on the repository of this folder: started, followed, delivered"),
    "up": ("cli.cluster:up", "start the cluster on this machine"),
    "down": ("cli.cluster:down", "end it"),
    "status": ("cli.status:register", "what runs, what is broken since when, and what is under way"),
    "open": ("cli.opening:register", "the page in your browser, signed in as who you are here"),
    "config": ("cli.config:register", "every setting in force, and where its value comes from; `set` writes one"),
    "demo": (
        "cli.cluster:demo",
        "a goal on a sample repository, from its plan to the delivered branch, on a cluster of its own",
    ),
    "doctor": ("cli.doctor:register", "what is in force and what is missing, each with its fix"),
    "logs": ("cli.logs:register", "what the cluster's processes here write, one's or all"),
    "directive": ("cli.directive:register", "goals on repositories, and their steps"),
    "list": ("cli.views:lists", "directives, the newest last; short for `directive list`"),
    "show": ("cli.views:shows", "a directive with its steps; short for `directive show`"),
    "watch": ("cli.views:watches", "a directive, live until it ends; short for `directive watch`"),
    "order": ("cli.order:register", "small work items that a directive picks up"),
    "ask": ("cli.question:ask", "ask a person, inside a task; waits, and prints the answer"),
    "questions": ("cli.question:questions", "what agents ask and nobody has answered"),
    "answer": ("cli.question:answer", "answer a question"),
    "inbox": ("cli.why:inbox", "all that waits for you, each with the command that settles it"),
    "why": ("cli.why:why", "what a directive, step or task waits for, and what would move it on"),
    "fail": ("cli.question:fail", "say that the task can't be done, inside a task"),
    "db": ("cli.database:register", "back the database up, and restore it into a new home"),
    "task": ("cli.task:register", "jobs on daemons"),
    "daemon": ("cli.daemon:register", "workers that run tasks"),
    "owner": ("cli.owner:register", "the teams of this cluster, and what each may use"),
    "member": ("cli.member:register", "who may do what in an owner"),
    "token": ("cli.token:register", "what a person's programs show in their place"),
    "upgrade-check": ("cli.upgrade:register", "what the database is like, and what this version would change of it"),
    "login": ("cli.login:login", "use a gateway on another machine, by a token"),
    "logout": ("cli.login:logout", "forget the token of a gateway"),
    "context": ("cli.context:register", "the gateways that you logged in to, and which of them is in use"),
    "completions": ("cli.helping:completions", "what completes the words of `makima` in your shell"),
    "help": ("cli.helping:helps", "what a command takes, how things are called, what exit codes mean"),
}
"""Each command, the function that declares it, and what it is for. Only the asked one's module is loaded, or all
to say what was meant by a word that is none of them."""

OF_THE_MACHINE = frozenset({"up", "down", "doctor", "logs", "db", "upgrade-check"})
"""Commands that look at the cluster's own files and processes, which are on its machine."""


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command; its exit code."""
    make_safe()
    words = list(sys.argv[1:] if argv is None else argv)
    if "_ARGCOMPLETE" in os.environ:
        from cli.completing import complete

        complete(_parser)
    try:
        try:
            return _carried_out(words)
        finally:
            finish()
    except Failed as error:
        refuse(f"makima: {error}")
        return 1
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        refuse(f"makima: a text holds {half!r}, which is no letter: half of a surrogate pair, or no UTF-8")
        return 1
    except KeyboardInterrupt:
        return SIGNALLED + SIGINT
    except OSError as error:
        return refused(error)


def _carried_out(words: Sequence[str]) -> int:
    if words[:1] == ["help"] and words[1:2] and words[1] in COMMANDS:
        words = [*words[1:], "--help"]
    words = take_context(list(words))
    arguments = _parser(words).parse_args(words)
    if arguments.says_version:
        from shared.version import VERSION

        print(f"makima {VERSION}")
        return 0
    verb: Verb | None = getattr(arguments, "verb", None)
    if verb is None:
        from cli.bare import bare

        return bare()
    if _command(words) in OF_THE_MACHINE and (gateway := chosen()).context:
        raise Failed(
            f"`makima {_command(words)}` works on the cluster's own machine, and the context {gateway.context} is at "
            f"{gateway.address}; for a cluster here: makima --context local {_command(words)}"
        )
    if getattr(arguments, "owner", None) is not None:
        act_in(arguments.owner)
    resolve(arguments)
    return verb(arguments)


def _command(words: Sequence[str]) -> str | None:
    return next((word for word in words if not word.startswith("-")), None)


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = Parser(
        prog="makima",
        description="A goal on a git repository becomes a merged branch.",
        epilog="`makima help COMMAND` says what a command takes, `makima help names` how directives, steps and tasks "
        "are called, `makima help exit-codes` what they mean.",
    )
    parser.add_argument("--version", dest="says_version", action="store_true", help="say which version this is")
    commands = parser.add_subparsers(metavar="COMMAND")
    parser.add_argument(
        "--context",
        metavar="NAME",
        help="the gateway to ask, by what `makima login` called it; `local`: this machine's",
    ).completer = contexts()  # type: ignore[attr-defined]
    asked = _command(words)
    for name, (declared_by, says) in COMMANDS.items():
        command = commands.add_parser(name, help=says, description=says)
        if name == asked or (asked is not None and asked not in COMMANDS):
            module, _, function = declared_by.partition(":")
            getattr(importlib.import_module(module), function)(command)
    return parser
