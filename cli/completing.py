"""What is offered when a word is completed: numbers and names as they are now. It never waits long or says an error."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from cli.client import Failed, ask
from cli.gateways import LOCAL, take_context
from cli.text import clean

if TYPE_CHECKING:
    from shared.api.names import Kind

Completer = Callable[..., dict[str, str]]
"""Gives what is offered, each with what it is."""
VARIABLE = "_ARGCOMPLETE"
"""Set by the shell that wants a line completed."""
PATIENCE_SECONDS = 0.5
MOST = 50


def complete(parser_of: Callable[[list[str]], argparse.ArgumentParser]) -> None:
    """Answer the shell that asks, and end."""
    import argcomplete

    words = _words(os.environ.get("COMP_LINE", ""))
    with contextlib.suppress(Failed):  # said where the command is carried out
        words = take_context(words)
    os.environ.pop("MAKIMA_TASK_ID", None)  # with it the gateway would be waited for
    argcomplete.autocomplete(parser_of(words[1:]), always_complete_options=False)


def completing(kind: Kind) -> Completer:
    """Offers the things of a kind that there are."""
    return _quietly(_OFFERED[kind])


def daemons() -> Completer:
    """Offers the names of daemons."""
    return _quietly(_daemons)


def agents() -> Completer:
    """Offers the names of the agents that connected daemons have."""
    return _quietly(_agents)


def contexts() -> Completer:
    """Offers the names of contexts."""
    return _quietly(_contexts)


def _quietly(offered: Callable[[str], Iterator[tuple[str, str]]]) -> Completer:
    def completer(prefix: str, **_: object) -> dict[str, str]:
        try:
            return {word: _shown(says) for word, says in offered(prefix)}
        except (Failed, OSError):
            return {}

    return completer


def _shown(says: str) -> str:
    """What something is, on one line, as the shell that asks shows it letter by letter."""
    text = clean(says)
    return text.replace("\\", "\\\\") if os.environ.get("_ARGCOMPLETE_SHELL") == "zsh" else text


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _directives(_: str) -> Iterator[tuple[str, str]]:
    from shared.api.directives import DirectiveListed

    path = f"/v1/directives?limit={MOST}"
    for one in ask(list[DirectiveListed], "GET", path, within_seconds=PATIENCE_SECONDS):
        yield str(one.number), f"{one.title[:40]} ({one.standing})"


def _steps(prefix: str) -> Iterator[tuple[str, str]]:
    """Those of the directive whose number is written; before that, the directives."""
    from shared.api.directives import DirectiveShown
    from shared.api.names import Named

    number, slash, _ = prefix.partition("/")
    if not slash:
        yield from ((f"{name}/", says) for name, says in _directives(prefix))
        return
    found = ask(list[Named], "GET", f"/v1/names?kind=directive&name={number}", within_seconds=PATIENCE_SECONDS)
    for directive in found[:1]:
        shown = ask(DirectiveShown, "GET", f"/v1/directives/{directive.id}", within_seconds=PATIENCE_SECONDS)
        for step in shown.steps:
            yield f"{number}/{step.number}", f"{step.name[:40]} ({step.status})"


def _tasks(_: str) -> Iterator[tuple[str, str]]:
    from shared.api.tasks import TaskListed

    for one in ask(list[TaskListed], "GET", f"/v1/tasks?limit={MOST}", within_seconds=PATIENCE_SECONDS):
        yield one.called, f"{one.name[:40]} ({one.status})"


def _orders(_: str) -> Iterator[tuple[str, str]]:
    from shared.api.orders import OrderShown

    for one in ask(list[OrderShown], "GET", f"/v1/orders?limit={MOST}", within_seconds=PATIENCE_SECONDS):
        yield str(one.number), f"{one.title[:40]} ({one.status.replace('_', ' ')})"


def _questions(_: str) -> Iterator[tuple[str, str]]:
    from shared.api.questions import QuestionShown

    for one in ask(list[QuestionShown], "GET", "/v1/questions", within_seconds=PATIENCE_SECONDS):
        yield one.called, one.text[:40]


def _anything(prefix: str) -> Iterator[tuple[str, str]]:
    yield from _steps(prefix) if "/" in prefix else _directives(prefix)


def _daemons(_: str) -> Iterator[tuple[str, str]]:
    from shared.api.cluster import DaemonShown

    for one in ask(list[DaemonShown], "GET", "/v1/daemons", within_seconds=PATIENCE_SECONDS):
        yield one.name, "draining" if one.draining else "connected" if one.connected else "lost"


def _agents(_: str) -> Iterator[tuple[str, str]]:
    from shared.api.cluster import DaemonShown

    for one in ask(list[DaemonShown], "GET", "/v1/daemons", within_seconds=PATIENCE_SECONDS):
        yield from ((agent, f"on {one.name}") for agent in one.agents)


def _contexts(_: str) -> Iterator[tuple[str, str]]:
    from cli.contexts import load

    yield LOCAL, "this machine's own cluster"
    yield from ((name, one.address) for name, one in load().known.items())


_OFFERED: dict[Kind, Callable[[str], Iterator[tuple[str, str]]]] = {
    "directive": _directives,
    "step": _steps,
    "task": _tasks,
    "order": _orders,
    "question": _questions,
    "anything": _anything,
}


def script(shell: str) -> str:
    """What a shell runs to complete the words of `makima`."""
    from argcomplete.shell_integration import shellcode

    return shellcode(["makima"], shell=shell) + "\n"


def is_asked() -> bool:
    """Whether a shell wants a line completed, not a command carried out."""
    return VARIABLE in os.environ and "COMP_LINE" in os.environ


def say_script(shell: str) -> None:
    """Print what completes a shell's words; a person at a terminal is told where to put it."""
    if sys.stdout.isatty():
        print(f"# to keep it: {_PLACES[shell]}", file=sys.stderr)
    print(script(shell), end="")


_PLACES = {
    "bash": "makima completions bash > ~/.local/share/bash-completion/completions/makima",
    "zsh": "makima completions zsh > ~/.zfunc/_makima, with `fpath+=~/.zfunc` before compinit in ~/.zshrc",
    "fish": "makima completions fish > ~/.config/fish/completions/makima.fish",
}
SHELLS = tuple(_PLACES)
