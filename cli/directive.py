"""`makima directive`: goals on repositories."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from cli import here, naming, planning, steps, views
from cli.agents import find_agent
from cli.client import Failed, call
from cli.command import Arguments, Verb, add_verb, print_json, say, say_line, verbs_of
from cli.text import clean


def register(command: argparse.ArgumentParser) -> None:
    """Declare `directive` and its verbs."""
    verbs = verbs_of(command)
    create = add_verb(verbs, "create", _create, "a goal on a repository")
    create.add_argument("--title", required=True)
    create.add_argument("--goal", default="", metavar="TEXT|@FILE|-")
    for option in ("--repo", "--base", "--plan", "--agent"):
        create.add_argument(option)
    create.add_argument("--on-failure", choices=("replan", "pause", "continue"), default="replan")
    create.add_argument("--approve-plan", action="store_true", help="each plan waits for your `directive approve`")
    planning.limits(create)
    create.add_argument("--check", metavar="COMMAND", help="must pass on what is delivered")
    create.add_argument("--merge-into-base", action="store_true", help="merge the delivery into the base branch, too")
    create.add_argument("--start", action="store_true", help="start it at once")
    create.add_argument("--watch", action="store_true", help="start it and follow it until it ends")
    create.add_argument("--quiet", action="store_true", help="print the id alone")
    for name in ("start", "pause", "resume", "archive"):
        verb = add_verb(verbs, name, _changing(name), f"{name} it")
        naming.name(verb, "id", kind="directive")
        if name == "pause":
            verb.add_argument("--now", action="store_true", help="end what runs; it runs again when resumed")
    look = add_verb(verbs, "look", _changing("look"), "look now how its pull request stands")
    naming.name(look, "id", kind="directive")
    planning.register(verbs)
    views.register(verbs)
    steps.register(verbs)


def _create(arguments: Arguments) -> int:
    from cli.plans import text_of
    from shared.domain.plans import scripts

    repository = arguments.repo
    if repository and here.exists(repository):
        repository = str(Path(repository).absolute())
    body: dict[str, Any] = {
        "title": arguments.title,
        "goal": text_of(arguments.goal, "--goal"),
        "repository_url": repository,
        "base_branch": arguments.base,
        "agent": arguments.agent,
        "on_failure": arguments.on_failure,
        "approve_plan": arguments.approve_plan,
        "merge_into_base": arguments.merge_into_base,
        "check": arguments.check,
        **planning.given(arguments),
        "start": arguments.start or arguments.watch,
    }
    if arguments.plan:
        from cli.plans import from_file

        body["steps"] = from_file(arguments.plan)
    elif body["agent"] is None and body["goal"].strip() and not scripts(body["goal"]):
        body["agent"] = _found_agent()
    if repository is None:
        print("! without --repo nothing is delivered; --repo . is the repository of this folder", file=sys.stderr)
    made = call("POST", "/v1/directives", body)
    steps.warn(made["warnings"])
    if arguments.watch:
        from cli.watch import watch

        print(made["id"], flush=True)
        return watch(made["id"], None)
    if arguments.output == "json":
        return print_json(made)
    if arguments.quiet:
        return say(made["id"])
    say_line(f"{made['number']}  {made['status']}  {clean(made['title'])}")
    return 0 if made["status"] != "draft" else say(f"to start it: makima directive start {made['number']}")


def _found_agent() -> str | None:
    """Who plans a goal in prose; None, with a warning, where nobody can."""
    try:
        return find_agent(None)
    except Failed as error:
        print(f"! {error}", file=sys.stderr)
        return None


def _changing(name: str) -> Verb:
    def verb(arguments: Arguments) -> int:
        now = "?now=true" if getattr(arguments, "now", False) else ""
        shown = call("POST", f"/v1/directives/{arguments.id}/{name}{now}")
        return print_json(shown) if arguments.output == "json" else say(shown["status"])

    return verb
