"""`makima task`: the jobs on daemons."""

from __future__ import annotations

import argparse
from urllib.parse import urlencode

from cli import naming
from cli.client import ask, pages
from cli.command import Arguments, add_verb, print_accepted, print_json, print_table, say_line, verbs_of
from cli.text import ago, clean
from shared.api.tasks import Accepted, TaskListed, TaskShown, Words
from shared.domain.statuses import TaskStatus
from shared.domain.texts import dollars


def register(command: argparse.ArgumentParser) -> None:
    """Declare `task` and its verbs."""
    verbs = verbs_of(command)
    listed = add_verb(
        verbs, "list", _list, "the newest first", "makima task list --directive 12", "makima task list --status failed"
    )
    naming.name(listed, "--directive", kind="directive", metavar="NAME")
    listed.add_argument("--status", choices=[str(status) for status in TaskStatus], help="only those with this status")
    shown = add_verb(verbs, "show", _show, "one with its attempts", "makima task show 12/3", "makima task show 12/plan")
    naming.name(shown, "id", kind="task")
    shown.add_argument("--prompt", action="store_true", help="only what its agent is told")
    prompt = add_verb(verbs, "prompt", _prompt, "what its agent is told", "makima task prompt 12/plan")
    naming.name(prompt, "id", kind="task")
    log = add_verb(verbs, "log", _log, "what it printed", "makima task log 12/3", "makima task log -f 12/delivery")
    naming.name(log, "id", kind="task")
    log.add_argument("-f", "--follow", action="store_true", help="and what it prints, until it ends")
    cancel = add_verb(verbs, "cancel", _cancel, "end it", "makima task cancel 12/3")
    naming.name(cancel, "id", kind="task")
    tell = add_verb(
        verbs,
        "tell",
        _tell,
        "tell its agent something: at once where it listens, else as its next turn",
        "makima task tell 12/3 'Leave the tests alone'",
    )
    naming.name(tell, "id", kind="task")
    tell.add_argument("text", help="what it is told")


def _list(arguments: Arguments) -> int:
    asked = {k: v for k in ("directive", "status") if (v := getattr(arguments, k))}
    tasks = list(pages(TaskListed, f"/v1/tasks?{urlencode(asked)}"))
    if arguments.output == "json":
        return print_json(tasks)
    rows = [
        (
            t.called,
            t.status,
            t.daemon or "-",
            ago(t.created_at),
            clean(t.name),
            clean(t.reason or t.waiting_reason or ""),
        )
        for t in tasks
    ]
    print_table(("TASK", "STATUS", "DAEMON", "MADE", "NAME", "WHY"), rows)
    return 0


def _show(arguments: Arguments) -> int:
    task = ask(TaskShown, "GET", f"/v1/tasks/{arguments.id}")
    if arguments.output == "json":
        return print_json(task)
    if arguments.prompt:
        return _print_prompt(task.prompt)
    why = task.reason or task.waiting_reason
    say_line(f"{task.called}  {clean(task.name)}  {task.status}" + (f": {clean(why)}" if why else ""))
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
    prompt = ask(TaskShown, "GET", f"/v1/tasks/{arguments.id}").prompt
    return print_json({"prompt": prompt}) if arguments.output == "json" else _print_prompt(prompt)


def _print_prompt(prompt: str) -> int:
    print("\n".join(clean(line) for line in prompt.splitlines()))
    return 0


def _log(arguments: Arguments) -> int:
    import msgspec

    from cli.tail import follow, stored

    if arguments.output == "json" and not arguments.follow:
        return print_json(list(stored(arguments.id)))
    attempt = None
    for batch in (follow if arguments.follow else stored)(arguments.id):
        if arguments.output == "json":
            print(msgspec.json.encode(batch).decode(), flush=True)
            continue
        if attempt not in (None, batch.attempt):
            print(f"── attempt {batch.attempt} ──")
        attempt = batch.attempt
        for line in batch.events:
            print(clean(line), flush=arguments.follow)
    return 0


def _tell(arguments: Arguments) -> int:
    body = Words(text=arguments.text)
    return print_accepted(arguments, ask(Accepted, "POST", f"/v1/tasks/{arguments.id}/tell", body))


def _cancel(arguments: Arguments) -> int:
    return print_accepted(arguments, ask(Accepted, "POST", f"/v1/tasks/{arguments.id}/cancel"))
