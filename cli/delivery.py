"""What `makima directive update` tells of a delivery: its pull request, or that it is completed."""

from __future__ import annotations

import argparse

from cli.command import Arguments


def options(update: argparse.ArgumentParser) -> None:
    """Declare what a delivery's agent calls, or a person."""
    update.add_argument("--pr-url", metavar="URL", help="a pull request of the directive's own repository")
    update.add_argument("--status", choices=("completed",), help="its work is merged, or was found to be")


def told(arguments: Arguments) -> dict[str, str]:
    """What was told, as the gateway takes it."""
    given = {"pr_url": arguments.pr_url, "status": arguments.status}
    return {key: value for key, value in given.items() if value is not None}
