"""`makima task`: the jobs on daemons."""

from __future__ import annotations

import argparse
import json
from urllib.parse import urlencode

from cli import naming
from cli.client import ask, call, pages
from cli.command import Arguments, add_verb, print_json, print_table, say, say_line, verbs_of
from cli.text import ago, clean, short
from shared.domain.texts import dollars


def register(command: argparse.ArgumentParser) -> None:
    """Declare `task` and its verbs."""
    verbs = verbs_of(command)
    listed = add_verb(verbs, "list", _list, "the newest first")
    naming.name(listed, "--directive", kind="directive", metavar="NAME")
    listed.add_argument("--status", help="only those with this status")
    shown = add_verb(verbs, "show", _show, "one with its attempts")
    naming.name(shown, "id", kind="task")
    shown.add_argument("--prompt", action="store_true", help="only what its agent is told")
    naming.name(add_verb(verbs, "prompt", _prompt, "what its agent is told"), "id", kind="task")
    log = add_verb(verbs, "log", _log, "what it printed")
    naming.name(log, "id", kind="task")
    log.add_argument("-f", "--follow", action="store_true", help="and what it prints, until it ends")
    naming.name(add_verb(verbs, "cancel", _cancel, "end it"), "id", kind="task")
    tell = add_verb(verbs, "tell", _tell, "tell its agent something: at once where it listens, else as its next turn")
    naming.name(tell, "id", kind="task")
    tell.add_argument("text")


def _list(arguments: Arguments) -> int:
    from shared.api.tasks import TaskListed

    asked = {k: v for k in ("directive", "status") if (v := getattr(arguments, k))}
    tasks = list(pages(TaskListed, f"/v1/tasks?{urlencode(asked)}"))
    if arguments.output == "json":
        return print_json(tasks)
    rows = [
        (
            short(t.id),
            t.kind,
            t.status,
            t.daemon or "-",
            ago(t.created_at),
            clean(t.name),
            clean(t.reason or t.waiting_reason or ""),
        )
        for t in tasks
    ]
    print_table(("TASK", "KIND", "STATUS", "DAEMON", "MADE", "NAME", ""), rows)
    return 0


def _show(arguments: Arguments) -> int:
    from shared.api.tasks import TaskShown

    task = ask(TaskShown, "GET", f"/v1/tasks/{arguments.id}")
    if arguments.output == "json":
        return print_json(task)
    if arguments.prompt:
        return _print_prompt(task.prompt)
    why = task.reason or task.waiting_reason
    say_line(f"{clean(task.name)}  {task.kind} {task.status}" + (f": {clean(why)}" if why else ""))
    spent = f"{dollars(task.cost_usd)}, {task.tokens} tokens" if task.tokens else None
    agent = f"{task.agent} ({task.model})" if task.model else task.agent
    for what, value in (
        ("agent", agent),
        ("labels", ", ".join(task.labels)),
        ("branch", task.branch),
        ("spent", spent),
    ):
        if value:
            say_line(f"  {what:<10} {clean(value)}")
    rows = [
        (
            f"  attempt {a.number}",
            a.daemon or "-",
            a.outcome or "under way",
            ago(a.started_at),
            clean(a.reason or ""),
        )
        for a in task.attempts
    ]
    print_table((), rows)
    for commit in task.commits:
        say_line(f"  {clean(commit.sha)[:12]} {clean(commit.subject)}")
    if task.outcome:
        print("\n" + "\n".join(clean(line) for line in task.outcome.splitlines()))
    return 0


def _prompt(arguments: Arguments) -> int:
    from shared.api.tasks import TaskShown

    prompt = ask(TaskShown, "GET", f"/v1/tasks/{arguments.id}").prompt
    return print_json({"prompt": prompt}) if arguments.output == "json" else _print_prompt(prompt)


def _print_prompt(prompt: str) -> int:
    print("\n".join(clean(line) for line in prompt.splitlines()))
    return 0


def _log(arguments: Arguments) -> int:
    from cli.tail import follow, stored

    if arguments.follow:
        for line in follow(arguments.id):
            print(json.dumps(line) if arguments.output == "json" else clean(line), flush=True)
        return 0
    if arguments.output == "json":
        return print_json(list(stored(arguments.id)))
    for batch in stored(arguments.id):
        for line in batch["events"]:
            print(clean(line))
    return 0


def _tell(arguments: Arguments) -> int:
    answer = call("POST", f"/v1/tasks/{arguments.id}/tell", {"text": arguments.text})
    return print_json(answer) if arguments.output == "json" else say(answer["status"])


def _cancel(arguments: Arguments) -> int:
    answer = call("POST", f"/v1/tasks/{arguments.id}/cancel")
    return print_json(answer) if arguments.output == "json" else say(answer["status"])
