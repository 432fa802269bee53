"""`makima daemon`: the workers."""

from __future__ import annotations

import argparse
import urllib.parse

from cli.client import call
from cli.cluster import run_module
from cli.command import Arguments, add_verb, print_json, print_table, say, verbs_of
from cli.text import clean


def register(command: argparse.ArgumentParser) -> None:
    """Declare `daemon` and its verbs."""
    verbs = verbs_of(command)
    add_verb(verbs, "list", _list, "connected or not, and how busy")
    drain = add_verb(verbs, "drain", _drain, "give it no more work; what runs on it goes on")
    drain.add_argument("name")
    drain.add_argument("--off", action="store_true", help="give it work again")
    add_verb(verbs, "run", lambda _: run_module("services.daemon"), "run one here, in the foreground")


def _list(arguments: Arguments) -> int:
    daemons = call("GET", "/v1/daemons")
    if arguments.output == "json":
        return print_json(daemons)
    rows = [
        (
            clean(daemon["name"]),
            ("draining" if daemon["draining"] else "connected") if daemon["connected"] else "lost",
            f"{daemon['running']}/{daemon['capacity']}",
            clean(", ".join(daemon["agents"]) or "-"),
            clean(", ".join(daemon["labels"]) or "-"),
        )
        for daemon in daemons
    ]
    print_table(("NAME", "STATE", "SLOTS", "AGENTS", "LABELS"), rows)
    return 0


def _drain(arguments: Arguments) -> int:
    name = urllib.parse.quote(arguments.name, safe="")
    answer = call("POST", f"/v1/daemons/{name}/drain", {"on": not arguments.off})
    return print_json(answer) if arguments.output == "json" else say(answer["status"])
