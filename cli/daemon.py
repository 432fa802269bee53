"""`makima daemon`: the workers."""

from __future__ import annotations

import argparse
import urllib.parse

from cli.client import call
from cli.cluster import run_module
from cli.command import Arguments, add_verb, listing, say, verbs_of


def register(command: argparse.ArgumentParser) -> None:
    """Declare `daemon` and its verbs."""
    verbs = verbs_of(command)
    add_verb(verbs, "list", listing("/v1/daemons", "name", "connected", "running", "capacity"), "connected or not")
    drain = add_verb(verbs, "drain", _drain, "give it no more work; what runs on it goes on")
    drain.add_argument("name")
    drain.add_argument("--off", action="store_true", help="give it work again")
    add_verb(verbs, "run", lambda _: run_module("services.daemon"), "run one here, in the foreground")


def _drain(arguments: Arguments) -> int:
    name = urllib.parse.quote(arguments.name, safe="")
    return say(call("POST", f"/v1/daemons/{name}/drain", {"on": not arguments.off})["status"])
