"""`makima directive`: goals on repositories."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from cli import steps
from cli.client import call
from cli.command import Arguments, Verb, add_verb, listing, print_json, say, verbs_of


def register(command: argparse.ArgumentParser) -> None:
    """Declare `directive` and its verbs."""
    verbs = verbs_of(command)
    create = add_verb(verbs, "create", _create, "a goal on a repository")
    create.add_argument("--title", required=True)
    create.add_argument("--goal", default="")
    for option in ("--repo", "--base", "--plan", "--agent"):
        create.add_argument(option)
    create.add_argument("--on-failure", choices=("replan", "pause", "continue"), default="replan")
    create.add_argument("--max-parallel", type=int, default=4)
    create.add_argument("--start", action="store_true")
    create.add_argument("--quiet", action="store_true", help="print the id alone")
    add_verb(verbs, "list", listing("/v1/directives", "id", "status", "title"), "all of them")
    add_verb(verbs, "show", _show, "one with its steps").add_argument("id")
    watch = add_verb(verbs, "watch", _watch, "live until it ends")
    watch.add_argument("id")
    watch.add_argument("--timeout", type=float)
    for name in ("start", "pause", "resume", "archive"):
        add_verb(verbs, name, _changing(name), f"{name} it").add_argument("id")
    add_verb(verbs, "log", _log, "every event of it").add_argument("id")
    steps.register(verbs)


def _create(arguments: Arguments) -> int:
    repository = arguments.repo
    if repository and Path(repository).exists():
        repository = str(Path(repository).absolute())
    body: dict[str, Any] = {
        "title": arguments.title,
        "goal": arguments.goal,
        "repository_url": repository,
        "base_branch": arguments.base,
        "agent": arguments.agent,
        "on_failure": arguments.on_failure,
        "max_parallel": arguments.max_parallel,
        "start": arguments.start,
    }
    if arguments.plan:
        from cli.plans import from_file

        body["steps"] = from_file(arguments.plan)
    made = call("POST", "/v1/directives", body)
    if arguments.output == "json":
        return print_json(made)
    return say(made["id"] if arguments.quiet else f"{made['id']}  {made['status']}  {made['title']}")


def _show(arguments: Arguments) -> int:
    shown = call("GET", f"/v1/directives/{arguments.id}")
    if arguments.output == "json":
        return print_json(shown)
    print(f"{shown['title']}  {shown['status']}" + (f": {shown['pause_reason']}" if shown["pause_reason"] else ""))
    for step in shown["steps"]:
        print(f"  {step['status']:<10} {step['name']}  {step['branch'] or step['waiting_reason'] or ''}")
    return 0


def _watch(arguments: Arguments) -> int:
    from cli.watch import watch

    return watch(arguments.id, arguments.timeout)


def _changing(name: str) -> Verb:
    def verb(arguments: Arguments) -> int:
        shown = call("POST", f"/v1/directives/{arguments.id}/{name}")
        return print_json(shown) if arguments.output == "json" else say(shown["status"])

    return verb


def _log(arguments: Arguments) -> int:
    events = call("GET", f"/v1/directives/{arguments.id}/events?limit=10000")
    if arguments.output == "json":
        return print_json(events)
    for event in events:
        print(f"{event['at']}  {event['type']:<20} {json.dumps(event['body'])}")
    return 0
