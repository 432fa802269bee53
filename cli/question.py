"""`makima ask`, `questions`, `answer`, `fail`: what an agent in mid-task says to a person, and the other way."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from urllib.parse import quote

from cli import client, naming
from cli.client import Failed
from cli.command import Arguments, declare, print_accepted, print_json, say, say_line
from cli.text import ago, clean, numbered

WAIT_SECONDS = 20.0
"""Of one request for the answer; it is asked again until there is one."""


def ask(command: argparse.ArgumentParser) -> None:
    """Declare `ask`."""
    declare(command, _ask, "makima ask 'Which port?' --option 8080 --option 9090 --timeout 600 --default 8080")
    command.add_argument("text", metavar="TEXT|@FILE|-", help="the question; from a file, or from standard input")
    command.add_argument("--option", action="append", default=[], help="an answer to choose from; may be repeated")
    command.add_argument("--timeout", type=float, metavar="SECONDS", help="how long to wait; without it, for ever")
    command.add_argument("--default", metavar="TEXT", help="the answer after the timeout; without it, asking fails")


def questions(command: argparse.ArgumentParser) -> None:
    """Declare `questions`."""
    declare(command, _questions, "makima questions")


def answer(command: argparse.ArgumentParser) -> None:
    """Declare `answer`."""
    declare(command, _answer, "makima answer 12/3 2", "makima answer 12/3 'Use the second one'")
    naming.name(command, "id", kind="question")
    command.add_argument(
        "text", metavar="N|TEXT|@FILE|-", help="the answer: the number of an option that is offered, or a text"
    )


def fail(command: argparse.ArgumentParser) -> None:
    """Declare `fail`."""
    declare(command, _fail, "makima fail 'The interface that I need is gone'")
    command.add_argument("reason", help="why it can't be done")


def _ask(arguments: Arguments) -> int:
    from cli.plans import text_of
    from shared.api.questions import NewQuestion, QuestionShown

    body = NewQuestion(
        text=text_of(arguments.text, "TEXT"),
        options=arguments.option,
        default=arguments.default,
        timeout_seconds=arguments.timeout,
    )
    question = client.ask(QuestionShown, "POST", "/v1/questions", body)
    while question.settled is None:
        question = client.ask(QuestionShown, "GET", f"/v1/questions/{question.id}?wait={WAIT_SECONDS}")
    if question.settled == "expired":
        raise Failed(f"nobody answered within {arguments.timeout:g} s; give --default for an answer then")
    return print_json(question) if arguments.output == "json" else say(question.answer or "")


def _questions(arguments: Arguments) -> int:
    from shared.api.questions import QuestionShown

    questions = list(client.pages(QuestionShown, "/v1/questions"))
    if arguments.output == "json":
        return print_json(questions)
    for one in questions:
        say_line(f"{one.called}  {ago(one.asked_at):<8}  {clean(one.title)} / {clean(one.task_name)}")
        for line in [*map(clean, one.text.splitlines() or [""]), *numbered(one.options)]:
            print(f"    {line}")
        print(f"    makima answer {one.called} {'N' if one.options else 'TEXT'}")
    return 0 if questions else say("nobody asks anything")


def _answer(arguments: Arguments) -> int:
    from cli.plans import text_of
    from shared.api.questions import NewAnswer, QuestionShown
    from shared.api.tasks import Accepted

    path = f"/v1/questions/{quote(arguments.id)}"
    text = text_of(arguments.text, "TEXT")
    if text.isascii() and text.isdigit():
        text = chosen(client.ask(QuestionShown, "GET", path).options, text)
    return print_accepted(arguments, client.ask(Accepted, "POST", f"{path}/answer", NewAnswer(answer=text)))


def chosen(options: Sequence[str], number: str) -> str:
    """The option that a number stands for; the number, where nothing is offered or it is offered itself. Raises Failed.

    >>> chosen(["yes", "no"], "2"), chosen([], "2"), chosen(["3", "2"], "2")
    ('no', '2', '2')
    """
    if not options or number in options:
        return number
    if not 1 <= int(number) <= len(options):
        raise Failed(f"there is no option {number}: say 1 to {len(options)}, or the answer in words")
    return options[int(number) - 1]


def _fail(arguments: Arguments) -> int:
    from shared.api.tasks import Accepted, GivenUp

    task = os.environ.get("MAKIMA_TASK_ID")
    if not task:
        raise Failed("only an agent inside a task says that it fails; a person: `makima task cancel ID`")
    path = f"/v1/tasks/{quote(task)}/fail"
    return print_accepted(arguments, client.ask(Accepted, "POST", path, GivenUp(reason=arguments.reason)))
