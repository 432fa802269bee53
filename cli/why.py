"""`makima why` and `makima inbox`: what waits for what, and what waits for you."""

from __future__ import annotations

import argparse
from urllib.parse import quote

from cli import naming
from cli.client import ask, pages
from cli.command import Arguments, declare, print_json, say, say_line
from cli.text import ago, clean, commands, numbered, wrapped

SHOWN_LINES = 20
"""Of the output where something failed."""


def why(command: argparse.ArgumentParser) -> None:
    """Declare `why`."""
    declare(command, _why, "makima why", "makima why 12/3")
    naming.name(command, "id", kind="anything", newest=True)


def inbox(command: argparse.ArgumentParser) -> None:
    """Declare `inbox`."""
    declare(command, _inbox, "makima inbox")


def _why(arguments: Arguments) -> int:
    from shared.api.waiting import WhyShown

    told = ask(WhyShown, "GET", f"/v1/why/{quote(arguments.id)}")
    if arguments.output == "json":
        return print_json(told)
    for line in wrapped(clean(f"{told.called} {told.name}: {told.why}")):
        print(line)
    for line in (told.output or "").splitlines()[-SHOWN_LINES:]:
        say_line(f"  | {clean(line)}")
    for command in commands(told.fix):
        for line in [f"  {command}"] if command.startswith("makima ") else wrapped(command, "  "):
            print(line)
    return 0


def _inbox(arguments: Arguments) -> int:
    from shared.api.waiting import InboxItem

    items = list(pages(InboxItem, "/v1/inbox"))
    if arguments.output == "json":
        return print_json(items)
    for item in items:
        say_line(f"{ago(item.since):<8}  {item.kind:<9} {item.called} {clean(item.title)}: {clean(item.text)}")
        for line in [*numbered(item.options), *commands(item.command)]:
            print(f"          {line}")
    return 0 if items else say("nothing needs you")
