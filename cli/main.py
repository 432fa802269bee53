"""The verbs, their options, and what each prints. Exit codes: 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cli.client import Failed, call

Arguments = argparse.Namespace
Verb = Callable[[Arguments], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command; its exit code."""
    arguments = _parser().parse_args(argv)
    verb: Verb = arguments.verb
    try:
        return verb(arguments)
    except Failed as error:
        print(f"makima: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, BrokenPipeError):
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="makima", description="A goal on a git repository becomes a merged branch.")
    top = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, says in (("up", "start the cluster"), ("down", "end it"), ("status", "what runs")):
        command = _command(top, name, _cluster, says)
        command.set_defaults(name=name)
        if name == "up":
            command.add_argument("--detach", action="store_true")
            command.add_argument("--daemons", type=int)
    _directive(top.add_parser("directive", help="goals and their steps").add_subparsers(required=True, metavar="VERB"))
    task = top.add_parser("task", help="jobs on daemons").add_subparsers(required=True, metavar="VERB")
    _command(task, "list", _list("/v1/tasks", "id", "kind", "status", "daemon", "name"), "newest first")
    _command(task, "log", _task_log, "what it printed").add_argument("id")
    _command(task, "cancel", _task_cancel, "ask for its end").add_argument("id")
    daemon = top.add_parser("daemon", help="workers").add_subparsers(required=True, metavar="VERB")
    _command(daemon, "list", _list("/v1/daemons", "name", "connected", "running", "capacity"), "connected or not")
    _command(daemon, "run", _daemon_run, "run one here, in the foreground")
    return parser


def _directive(verbs: Any) -> None:  # noqa: ANN401
    create = _command(verbs, "create", _create, "a goal on a repository")
    create.add_argument("--title", required=True)
    create.add_argument("--goal", default="")
    for option in ("--repo", "--base", "--plan", "--agent"):
        create.add_argument(option)
    create.add_argument("--on-failure", choices=("replan", "pause", "continue"), default="replan")
    create.add_argument("--max-parallel", type=int, default=4)
    create.add_argument("--start", action="store_true")
    create.add_argument("--quiet", action="store_true", help="print the id alone")
    _command(verbs, "list", _list("/v1/directives", "id", "status", "title"), "all of them")
    _command(verbs, "show", _show, "one with its steps").add_argument("id")
    watch = _command(verbs, "watch", _watch, "live until it ends")
    watch.add_argument("id")
    watch.add_argument("--timeout", type=float)
    for name in ("start", "pause", "resume", "archive"):
        verb = _command(verbs, name, _change, f"{name} it")
        verb.add_argument("id")
        verb.set_defaults(name=name)
    _command(verbs, "log", _log, "every event of it").add_argument("id")
    add = _command(verbs, "add-step", _add_step, "one step")
    add.add_argument("name")
    for option in ("--description", "--task-plan"):
        add.add_argument(option, default="")
    add.add_argument("--depends-on", action="append", default=[])
    add.add_argument("--order-index", type=int, default=0)
    add.add_argument("--generation", type=int)
    batch = _command(verbs, "batch-add-steps", _batch, "several steps at once")
    batch.add_argument("--json", required=True, metavar="TEXT|@FILE|-")
    remove = _command(verbs, "remove-step", _remove_step, "one that hasn't run")
    remove.add_argument("id")
    for command in (add, batch, remove):
        command.add_argument("--directive", default=os.environ.get("MAKIMA_DIRECTIVE_ID"))


def _command(verbs: Any, name: str, verb: Verb, says: str) -> argparse.ArgumentParser:  # noqa: ANN401
    command: argparse.ArgumentParser = verbs.add_parser(name, help=says, description=says)
    command.add_argument("-o", dest="output", choices=("text", "json"), default="text", help="how to print")
    command.set_defaults(verb=verb)
    return command


def _cluster(arguments: Arguments) -> int:
    options = ["--detach"] if getattr(arguments, "detach", False) else []
    if getattr(arguments, "daemons", None) is not None:
        options += ["--daemons", str(arguments.daemons)]
    _exec("services.cluster", arguments.name, *options)
    return 1


def _daemon_run(_: Arguments) -> int:
    _exec("services.daemon")
    return 1


def _exec(module: str, *arguments: str) -> None:
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


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
        return _print(made)
    print(made["id"] if arguments.quiet else f"{made['id']}  {made['status']}  {made['title']}")
    return 0


def _show(arguments: Arguments) -> int:
    shown = call("GET", f"/v1/directives/{arguments.id}")
    if arguments.output == "json":
        return _print(shown)
    print(f"{shown['title']}  {shown['status']}" + (f": {shown['pause_reason']}" if shown["pause_reason"] else ""))
    for step in shown["steps"]:
        print(f"  {step['status']:<10} {step['name']}  {step['branch'] or step['waiting_reason'] or ''}")
    return 0


def _watch(arguments: Arguments) -> int:
    from cli.watch import watch

    return watch(arguments.id, arguments.timeout)


def _change(arguments: Arguments) -> int:
    shown = call("POST", f"/v1/directives/{arguments.id}/{arguments.name}")
    return _print(shown) if arguments.output == "json" else _say(shown["status"])


def _log(arguments: Arguments) -> int:
    events = call("GET", f"/v1/events?directive={arguments.id}")
    if arguments.output == "json":
        return _print(events)
    for event in events:
        print(f"{event['at']}  {event['type']:<20} {json.dumps(event['body'])}")
    return 0


def _add_step(arguments: Arguments) -> int:
    step = {
        "name": arguments.name,
        "description": arguments.description,
        "taskPlan": arguments.task_plan,
        "dependsOn": arguments.depends_on,
        "orderIndex": arguments.order_index,
        "generation": arguments.generation,
    }
    added = call("POST", f"/v1/directives/{_of(arguments)}/steps", {"steps": [step]})[0]
    return _print(added) if arguments.output == "json" else _say(f"{added['name']}  {added['id']}")


def _batch(arguments: Arguments) -> int:
    from cli.plans import from_argument

    steps = from_argument(arguments.json)
    added = call("POST", f"/v1/directives/{_of(arguments)}/steps", {"steps": steps})
    if arguments.output == "json":
        return _print(added)
    for step in added:
        print(f"{step['name']}  {step['id']}")
    return 0


def _remove_step(arguments: Arguments) -> int:
    call("DELETE", f"/v1/directives/{_of(arguments)}/steps/{arguments.id}")
    return 0


def _task_log(arguments: Arguments) -> int:
    batches = call("GET", f"/v1/tasks/{arguments.id}/log")
    if arguments.output == "json":
        return _print(batches)
    for batch in batches:
        for line in batch["events"]:
            print(line)
    return 0


def _task_cancel(arguments: Arguments) -> int:
    return _say(call("POST", f"/v1/tasks/{arguments.id}/cancel")["status"])


def _list(path: str, *columns: str) -> Verb:
    def verb(arguments: Arguments) -> int:
        rows = call("GET", path)
        if arguments.output == "json":
            return _print(rows)
        for row in rows:
            print("  ".join(str(row[c] if row[c] is not None else "-") for c in columns))
        return 0

    return verb


def _of(arguments: Arguments) -> str:
    if not arguments.directive:
        raise Failed("which directive? give --directive ID (inside a task it is known)")
    return str(arguments.directive)


def _print(value: object) -> int:
    print(json.dumps(value, indent=2))
    return 0


def _say(text: str) -> int:
    print(text)
    return 0
