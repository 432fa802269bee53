"""`makima up` and `down`: handed on to the cluster's own process."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from cli.command import Arguments, declare


def up(command: argparse.ArgumentParser) -> None:
    """Declare `up`."""
    declare(command, _up)
    command.add_argument("--detach", action="store_true", help="give the terminal back once it is ready")
    command.add_argument("--daemons", type=int, metavar="N", help="how many daemons to run here")


def down(command: argparse.ArgumentParser) -> None:
    """Declare `down`."""
    declare(command, lambda _: run_module("services.cluster", "down"))


def run_module(module: str, *arguments: str) -> int:
    """Become another of the project's processes; does not return."""
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


def _up(arguments: Arguments) -> int:
    options = ["--detach"] if arguments.detach else []
    if arguments.daemons is not None:
        options += ["--daemons", str(arguments.daemons)]
    return run_module("services.cluster", "up", *options)
