"""`makima directive`: goals on repositories."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from cli import completing, here, naming, planning, steps, views
from cli.agents import find_agent
from cli.client import Failed, ask
from cli.command import Arguments, Verb, add_verb, print_json, say, say_line, verbs_of
from cli.text import clean
from shared.domain.statuses import DirectiveStatus


def register(command: argparse.ArgumentParser) -> None:
    """Declare `directive` and its verbs."""
    verbs = verbs_of(command)
    create = add_verb(
        verbs,
        "create",
        _create,
        "a goal on a repository",
        "makima directive create --title 'Faster start' --goal @goal.md --repo . --watch",
        "makima directive create --title 'From a plan' --plan plan.yaml --repo . --start",
    )
    create.add_argument("--title", required=True, help="what people call it, and the pull request's title")
    create.add_argument("--goal", default="", metavar="TEXT|@FILE|-", help="what is wanted, for whoever plans it")
    create.add_argument("--repo", metavar="PATH|URL", help="the repository; without one nothing is delivered")
    create.add_argument("--base", metavar="BRANCH", help="the branch to start from and merge into; else its HEAD's")
    create.add_argument("--plan", metavar="FILE", help="the steps, instead of an agent's plan; - reads standard input")
    agent = create.add_argument("--agent", metavar="NAME", help="who plans and works; found when it isn't named")
    agent.completer = completing.agents()  # type: ignore[attr-defined]
    create.add_argument("--on-failure", choices=planning.ON_FAILURE, default="replan", help=planning.FAILED)
    create.add_argument("--approve-plan", action="store_true", help="each plan waits for your `directive approve`")
    planning.limits(create)
    create.add_argument("--check", metavar="COMMAND", help="must pass on what is delivered")
    create.add_argument("--merge-into-base", action="store_true", help="merge the delivery into the base branch, too")
    create.add_argument("--start", action="store_true", help="start it at once")
    create.add_argument("--watch", action="store_true", help="start it and follow it until it ends")
    create.add_argument("--quiet", action="store_true", help="print its number alone")
    for name, says in _CHANGES.items():
        verb = add_verb(verbs, name, _changing(name), says, f"makima directive {name} 12")
        naming.name(verb, "id", kind="directive")
        if name == "pause":
            verb.add_argument("--now", action="store_true", help="end what runs; it runs again when resumed")
    planning.register(verbs)
    views.register(verbs)
    steps.register(verbs)


_CHANGES = {
    "start": "start a draft: it is planned, and what may run runs",
    "pause": "begin nothing new; what runs is finished",
    "resume": "let a paused one go on",
    "look": "look now how its pull request stands",
    "archive": "end it for good: what runs is ended, and nothing of it changes any more",
}


def _create(arguments: Arguments) -> int:
    from cli.plans import text_of
    from shared.api.directives import DirectiveShown
    from shared.domain.plans import scripts

    repository = arguments.repo
    if repository and here.exists(repository):
        repository = str(Path(repository).absolute())
        here.refuse_a_folder_elsewhere(repository)
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
    made = ask(DirectiveShown, "POST", "/v1/directives", body)
    if repository is None:
        print("! without --repo nothing is delivered; --repo . is the repository of this folder", file=sys.stderr)
    steps.warn(made.warnings)
    if arguments.watch:
        from cli.watch import watch

        if arguments.output == "text":
            print(made.number, flush=True)
        return watch(made.id, None, arguments.output)
    if arguments.output == "json":
        return print_json(made)
    if arguments.quiet:
        return say(str(made.number))
    say_line(f"{made.number}  {made.standing}  {clean(made.title)}")
    if made.status is not DirectiveStatus.DRAFT:
        return 0
    return say(f"to start it: makima directive start {made.number}")


def _found_agent() -> str | None:
    """Who plans a goal in prose; None, with a warning, where nobody can."""
    try:
        return find_agent(None)
    except Failed as error:
        print(f"! {error}", file=sys.stderr)
        return None


def _changing(name: str) -> Verb:
    def verb(arguments: Arguments) -> int:
        from shared.api.directives import DirectiveShown

        now = "?now=true" if getattr(arguments, "now", False) else ""
        shown = ask(DirectiveShown, "POST", f"/v1/directives/{arguments.id}/{name}{now}")
        return print_json(shown) if arguments.output == "json" else say(shown.standing)

    return verb
