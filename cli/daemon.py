"""`makima daemon`: the workers."""

from __future__ import annotations

import argparse

from cli.cluster import run_module
from cli.command import add_verb, listing, verbs_of


def register(command: argparse.ArgumentParser) -> None:
    """Declare `daemon` and its verbs."""
    verbs = verbs_of(command)
    add_verb(verbs, "list", listing("/v1/daemons", "name", "connected", "running", "capacity"), "connected or not")
    add_verb(verbs, "run", lambda _: run_module("services.daemon"), "run one here, in the foreground")
