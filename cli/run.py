"""`makima run`: a goal on this folder's repository, started and followed; what it needs is found or started."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cli import completing, here, planning
from cli.agents import SHELL, find_agent, named_agent
from cli.client import Failed, ask, pages
from cli.command import Arguments, declare, print_json
from cli.text import clean
from shared.api.cluster import DaemonShown
from shared.api.directives import DirectiveShown

INTERRUPTED = 130
"""The exit code after Ctrl-C, as of a program that SIGINT ended."""
LONGEST_TITLE = 72
SCISSORS = "# ------------------------ >8 ------------------------"
_ASKING = f"""

{SCISSORS}
# Above this line: what you want, as you would tell a colleague.
# Its first line becomes the title. Leave it empty to start nothing.
"""


def register(command: argparse.ArgumentParser) -> None:
    """Declare `run`."""
    declare(
        command, _run, "makima run 'Start in under a second; measure before and after'", "makima run --plan plan.yaml"
    )
    command.add_argument("goal", nargs="*", metavar="GOAL", help="what you want; - reads it from standard input")
    command.add_argument("--repo", metavar="PATH|URL", help="another repository than that of the current folder")
    command.add_argument("--base", metavar="BRANCH", help="the branch to start from, and to merge into")
    agent = command.add_argument("--agent", metavar="NAME", help="who plans and works; found when it isn't named")
    agent.completer = completing.agents()  # type: ignore[attr-defined]
    command.add_argument("--plan", metavar="FILE", help="the steps, instead of an agent's plan")
    command.add_argument("--check", metavar="COMMAND", help="must pass on what is delivered")
    command.add_argument("--approve-plan", action="store_true", help="the plan waits for your approval")
    command.add_argument("--detach", action="store_true", help="start it without following it")
    planning.limits(command)


def _run(arguments: Arguments) -> int:
    goal = _goal(arguments.goal) if arguments.goal or not arguments.plan else ""
    limits = planning.given(arguments)
    steps = _steps(arguments.plan)
    repository = here.find(arguments.repo, arguments.base)
    agent = _agent(arguments, steps is not None, repository.folder)
    _start_cluster()
    _await_daemon(agent)
    title = _title(goal) if goal else _title(Path(arguments.plan).stem)
    made = ask(
        DirectiveShown,
        "POST",
        "/v1/directives",
        {
            "title": title,
            "goal": goal,
            "repository_url": repository.url,
            "base_branch": repository.base,
            "agent": agent,
            "check": arguments.check,
            "approve_plan": arguments.approve_plan,
            "start": True,
            **limits,
            **({"steps": steps} if steps is not None else {}),
        },
    )
    if arguments.output == "json":
        return print_json(made) if arguments.detach else _followed(made, "json")
    if arguments.detach or not sys.stdout.isatty():  # what is drawn has it at its head
        print(f"{made.number}  {clean(made.title)}")
    for line in _introduced(repository, agent):
        print(line, flush=True)
    return 0 if arguments.detach else _followed(made)


def _introduced(repository: here.Repository, agent: str) -> Iterator[str]:
    yield f"  repository  {repository.says}"
    if repository.left_out:
        yield f"              {repository.left_out}"
    yield f"  agent       {clean(agent)}"
    yield f"  ends with   {repository.ends}"


def _followed(made: DirectiveShown, output: str = "text") -> int:
    from cli.watch import watch

    try:
        return watch(made.id, None, output)
    except KeyboardInterrupt:
        if output == "text":
            print(f"The work goes on. To see it again: makima watch {made.number}")
        return INTERRUPTED


def _goal(words: list[str]) -> str:
    """What is wanted: from the command line, standard input, or an editor. Raises Failed."""
    if words == ["-"]:
        goal = sys.stdin.read()
    elif words:
        goal = " ".join(words)
    elif sys.stdin.isatty():
        goal = _edited()
    else:
        raise Failed("say what you want: makima run 'Start in under a second'; makima run - reads standard input")
    if not goal.strip():
        raise Failed("the goal is empty: nothing was started")
    return goal.strip()


def _edited() -> str:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.NamedTemporaryFile("w+", prefix="makima-goal-", suffix=".md", encoding="utf-8") as draft:
        draft.write(_ASKING)
        draft.flush()
        try:
            code = subprocess.run([*shlex.split(editor), draft.name], check=False).returncode
        except (OSError, ValueError) as error:
            raise Failed(f"the editor {clean(editor)} can't be started ({error}): set EDITOR, or say GOAL") from None
        if code:
            raise Failed(f"the editor {clean(editor)} ended with exit code {code}: nothing was started")
        return Path(draft.name).read_text(encoding="utf-8", errors="replace").partition(SCISSORS)[0]


def _steps(plan: str | None) -> object:
    if plan is None:
        return None
    from cli.plans import from_file

    return from_file(plan)


def _title(goal: str) -> str:
    """A goal's first line, cut between words.

    >>> _title("# Start fast\\n\\nIn under a second.")
    'Start fast'
    """
    line = clean(goal.strip().partition("\n")[0]).lstrip("# ").strip() or "A goal"
    if len(line) <= LONGEST_TITLE:
        return line
    return line[: LONGEST_TITLE - 1].rsplit(" ", 1)[0].rstrip(",;:. ") + "…"


def _agent(arguments: Arguments, scripted: bool, folder: Path | None) -> str:
    if arguments.agent is not None:
        return named_agent(arguments.agent)
    return SHELL if scripted else find_agent(folder)


def _start_cluster() -> None:
    """Start the cluster of this home unless one runs. Raises Failed."""
    from cli.status import runs

    if runs():
        return
    print("no cluster runs yet: starting one", file=sys.stderr, flush=True)
    argv = [sys.executable, "-P", "-m", "cli", "up", "--detach"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    if code := subprocess.run(argv, env=environment, stdout=sys.stderr, check=False).returncode:
        raise Failed(f"the cluster did not start (exit code {code}); see above")


def _await_daemon(agent: str) -> None:
    """Wait until a daemon is there. Raises Failed where none of them has the agent: nothing would ever run."""
    from cli.status import DAEMON_SECONDS

    deadline = time.monotonic() + DAEMON_SECONDS
    while not (daemons := [d for d in pages(DaemonShown, "/v1/daemons") if d.connected]):
        if time.monotonic() > deadline:
            raise Failed("no daemon is connected, so nothing would run: `makima status` says more")
        time.sleep(0.1)
    if not any(agent in daemon.agents for daemon in daemons):
        had = ", ".join(sorted({clean(a) for d in daemons for a in d.agents}))
        raise Failed(
            f"no daemon has the agent {clean(agent)}, only {had}: name one of these, or start the cluster anew"
        )
