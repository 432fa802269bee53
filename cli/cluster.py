"""`makima up` and `down`: handed on to the cluster's own process."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from cli.command import Arguments, declare

MOST_DIGITS = 4


def up(command: argparse.ArgumentParser) -> None:
    """Declare `up`."""
    declare(command, _up, "makima up --detach", "makima up --daemons 4")
    command.add_argument("--detach", action="store_true", help="give the terminal back once it is ready")
    command.add_argument("--daemons", type=_count, metavar="N", help="how many daemons to run here")


def down(command: argparse.ArgumentParser) -> None:
    """Declare `down`."""
    declare(command, lambda _: run_module("services.cluster", "down"), "makima down")


def demo(command: argparse.ArgumentParser) -> None:
    """Declare `demo`."""
    declare(command, lambda _: run_module("examples.demo"), "makima demo")


def run_module(module: str, *arguments: str) -> int:
    """Become another of the project's processes; does not return.

    -P: nothing is imported from the current folder, which may be any repository.
    """
    say_unread()
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])


def say_unread() -> None:
    """Say that a makima.toml in the current folder counts for nothing."""
    from shared.config import unread

    if words := unread(os.environ):
        print(f"! {words}", file=sys.stderr)


def sandbox_warning() -> str:
    """What to be told of the sandbox of this machine's daemons: that there is none, though nobody asked for that."""
    from services.daemon.sandbox.choosing import chosen
    from shared.config import ConfigError, load

    try:
        return chosen(load(os.environ)).warning
    except ConfigError:
        return ""  # whoever needs the settings says it


def _count(text: str) -> int:
    """A number of daemons, as the setting takes it. Raises ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or len(text) > MOST_DIGITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of daemons: 0 or more")
    return int(text)


def _up(arguments: Arguments) -> int:
    if warning := sandbox_warning():
        print(f"! {warning}", file=sys.stderr)
    options = ["--detach"] if arguments.detach else []
    if arguments.daemons is not None:
        options += ["--daemons", str(arguments.daemons)]
    return run_module("services.cluster", "up", *options)
