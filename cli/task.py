"""`makima task`: the jobs on daemons."""

from __future__ import annotations

import argparse

from cli.client import call
from cli.command import Arguments, add_verb, listing, print_json, say, verbs_of


def register(command: argparse.ArgumentParser) -> None:
    """Declare `task` and its verbs."""
    verbs = verbs_of(command)
    add_verb(verbs, "list", listing("/v1/tasks", "id", "kind", "status", "daemon", "name"), "newest first")
    add_verb(verbs, "log", _log, "what it printed").add_argument("id")
    add_verb(verbs, "cancel", _cancel, "ask for its end").add_argument("id")
    tell = add_verb(verbs, "tell", _tell, "tell its agent something: at once where it listens, else as its next turn")
    tell.add_argument("id")
    tell.add_argument("text")


def _log(arguments: Arguments) -> int:
    batches = call("GET", f"/v1/tasks/{arguments.id}/log")
    if arguments.output == "json":
        return print_json(batches)
    for batch in batches:
        for line in batch["events"]:
            print(line)
    return 0


def _tell(arguments: Arguments) -> int:
    return say(call("POST", f"/v1/tasks/{arguments.id}/tell", {"text": arguments.text})["status"])


def _cancel(arguments: Arguments) -> int:
    return say(call("POST", f"/v1/tasks/{arguments.id}/cancel")["status"])
