"""`makima why` and `makima inbox`: what waits for what, and what waits for you."""

from __future__ import annotations

import argparse
from urllib.parse import quote

from cli.client import call
from cli.command import Arguments, declare, print_json, say
from cli.text import clean

SHOWN_LINES = 20
"""Of the output where something failed."""


def why(command: argparse.ArgumentParser) -> None:
    """Declare `why`."""
    declare(command, _why)
    command.add_argument("id", help="of a directive, a step or a task")


def inbox(command: argparse.ArgumentParser) -> None:
    """Declare `inbox`."""
    declare(command, _inbox)


def _why(arguments: Arguments) -> int:
    told = call("GET", f"/v1/why/{quote(arguments.id)}")
    if arguments.output == "json":
        return print_json(told)
    print(clean(f"{told['kind']} {told['name']} is {told['status']}: {told['why']}"))
    if told.get("output"):
        print("\n".join(f"  | {clean(line)}" for line in told["output"].splitlines()[-SHOWN_LINES:]))
    return say(f"  {told['fix']}") if told["fix"] else 0


def _inbox(arguments: Arguments) -> int:
    items = call("GET", "/v1/inbox")
    if arguments.output == "json":
        return print_json(items)
    for item in items:
        print(
            f"{item['since'][:16].replace('T', ' ')}  {item['kind']:<9} {clean(item['title'])}: {clean(item['text'])}"
        )
        print(f"    {item['command']}")
    return 0 if items else say("nothing needs you")
