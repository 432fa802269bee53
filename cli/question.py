"""`makima ask`, `questions`, `answer`, `fail`: what an agent in mid-task says to a person, and the other way."""

from __future__ import annotations

import argparse
import os
from urllib.parse import quote

from cli import naming
from cli.client import Failed, call, pages
from cli.command import Arguments, declare, print_json, say, say_line
from cli.text import ago, clean, short

WAIT_SECONDS = 20.0
"""Of one request for the answer; it is asked again until there is one."""


def ask(command: argparse.ArgumentParser) -> None:
    """Declare `ask`."""
    declare(command, _ask)
    command.add_argument("text", metavar="TEXT|@FILE|-")
    command.add_argument("--option", action="append", default=[], help="an answer to choose from; may be repeated")
    command.add_argument("--timeout", type=float, metavar="SECONDS", help="how long to wait; without it, for ever")
    command.add_argument("--default", metavar="TEXT", help="the answer after the timeout; without it, asking fails")


def questions(command: argparse.ArgumentParser) -> None:
    """Declare `questions`."""
    declare(command, _questions)


def answer(command: argparse.ArgumentParser) -> None:
    """Declare `answer`."""
    declare(command, _answer)
    naming.name(command, "id", kind="question")
    command.add_argument("text", metavar="TEXT|@FILE|-")


def fail(command: argparse.ArgumentParser) -> None:
    """Declare `fail`."""
    declare(command, _fail)
    command.add_argument("reason")


def _ask(arguments: Arguments) -> int:
    from cli.plans import text_of

    body = {
        "text": text_of(arguments.text, "TEXT"),
        "options": arguments.option,
        "default": arguments.default,
        "timeout_seconds": arguments.timeout,
    }
    question = call("POST", "/v1/questions", body)
    while question["settled"] is None:
        question = call("GET", f"/v1/questions/{question['id']}?wait={WAIT_SECONDS}")
    if question["settled"] == "expired":
        raise Failed(f"nobody answered within {arguments.timeout:g} s; give --default for an answer then")
    return print_json(question) if arguments.output == "json" else say(question["answer"])


def _questions(arguments: Arguments) -> int:
    from shared.api.questions import QuestionShown

    questions = list(pages(QuestionShown, "/v1/questions"))
    if arguments.output == "json":
        return print_json(questions)
    for one in questions:
        say_line(f"{short(one.id)}  {ago(one.asked_at):<8}  {clean(one.title)} / {clean(one.task_name)}")
        for line in one.text.splitlines() or [""]:
            print(f"    {clean(line)}")
        for option in one.options:
            print(f"    - {clean(option)}")
    return say("\nmakima answer QUESTION TEXT answers one") if questions else say("nobody asks anything")


def _answer(arguments: Arguments) -> int:
    from cli.plans import text_of

    text = text_of(arguments.text, "TEXT")
    done = call("POST", f"/v1/questions/{quote(arguments.id)}/answer", {"answer": text})
    return print_json(done) if arguments.output == "json" else say(done["status"])


def _fail(arguments: Arguments) -> int:
    task = os.environ.get("MAKIMA_TASK_ID")
    if not task:
        raise Failed("only an agent inside a task says that it fails; a person: `makima task cancel ID`")
    done = call("POST", f"/v1/tasks/{quote(task)}/fail", {"reason": arguments.reason})
    return print_json(done) if arguments.output == "json" else say(done["status"])
