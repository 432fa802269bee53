"""`makima task`: the jobs on daemons."""

from __future__ import annotations

import argparse

from cli.client import call
from cli.command import Arguments, add_verb, print_json, print_table, say, verbs_of
from cli.text import clean


def register(command: argparse.ArgumentParser) -> None:
    """Declare `task` and its verbs."""
    verbs = verbs_of(command)
    listed = add_verb(verbs, "list", _list, "the newest first")
    listed.add_argument("--directive", metavar="ID", help="only those of one directive")
    listed.add_argument("--status", help="only those with this status")
    add_verb(verbs, "show", _show, "one with its attempts").add_argument("id")
    log = add_verb(verbs, "log", _log, "what it printed")
    log.add_argument("id")
    log.add_argument("-f", "--follow", action="store_true", help="and what it prints, until it ends")
    add_verb(verbs, "cancel", _cancel, "ask for its end").add_argument("id")
    tell = add_verb(verbs, "tell", _tell, "tell its agent something: at once where it listens, else as its next turn")
    tell.add_argument("id")
    tell.add_argument("text")


def _list(arguments: Arguments) -> int:
    asked = [f"{key}={value}" for key in ("directive", "status") if (value := getattr(arguments, key))]
    tasks = call("GET", "/v1/tasks" + ("?" + "&".join(asked) if asked else ""))
    if arguments.output == "json":
        return print_json(tasks)
    rows = [
        (
            t["id"],
            t["kind"],
            t["status"],
            t["daemon"] or "-",
            clean(t["name"]),
            clean(t["reason"] or t["waiting_reason"] or ""),
        )
        for t in tasks
    ]
    print_table(("ID", "KIND", "STATUS", "DAEMON", "NAME", ""), rows)
    return 0


def _show(arguments: Arguments) -> int:
    task = call("GET", f"/v1/tasks/{arguments.id}")
    if arguments.output == "json":
        return print_json(task)
    why = task["reason"] or task["waiting_reason"]
    print(f"{clean(task['name'])}  {task['kind']} {task['status']}" + (f": {clean(why)}" if why else ""))
    for key in ("directive_id", "step_id", "agent", "branch"):
        if task[key]:
            print(f"  {key.removesuffix('_id'):<10} {clean(task[key])}")
    if task["tokens"]:
        print(f"  {'spent':<10} ${task['cost_usd']:.2f}, {task['tokens']} tokens")
    rows = [
        (
            f"  attempt {a['number']}",
            a["daemon"] or "-",
            a["outcome"] or "under way",
            a["started_at"],
            clean(a["reason"] or ""),
        )
        for a in task["attempts"]
    ]
    print_table((), rows)
    for commit in task["commits"]:
        print(f"  {clean(commit['sha'])[:12]} {clean(commit['subject'])}")
    if task["outcome"]:
        print("\n" + "\n".join(clean(line) for line in task["outcome"].splitlines()))
    return 0


def _log(arguments: Arguments) -> int:
    from cli.tail import follow, stored

    if arguments.output == "json":
        return print_json(list(stored(arguments.id)))
    if arguments.follow:
        for line in follow(arguments.id):
            print(clean(line), flush=True)
        return 0
    for batch in stored(arguments.id):
        for line in batch["events"]:
            print(clean(line))
    return 0


def _tell(arguments: Arguments) -> int:
    return say(call("POST", f"/v1/tasks/{arguments.id}/tell", {"text": arguments.text})["status"])


def _cancel(arguments: Arguments) -> int:
    answer = call("POST", f"/v1/tasks/{arguments.id}/cancel")
    return print_json(answer) if arguments.output == "json" else say(answer["status"])
