"""`makima` alone: what runs, and the three commands that are most likely next."""

from __future__ import annotations

from collections.abc import Iterator

from cli.command import say
from cli.status import look
from cli.text import aligned, clean

RUN = ("makima run 'What you want'", "start a goal on this folder's repository")


def bare() -> int:
    """Say it; exit code 0."""
    found = look()
    if found["overview"] is None:
        say(clean(found["trouble"] or "nothing runs"))
        likely = [RUN, ("makima up", "start the cluster alone"), ("makima doctor", "what this machine has and lacks")]
    else:
        counted = found["overview"]["directives"]
        under_way = sum(counted.get(status, 0) for status in ("active", "awaiting_approval", "paused"))
        daemons = found["overview"]["daemons"].get("connected", 0)
        say(f"makima runs: {_many(under_way, 'directive')} under way, {_many(daemons, 'daemon')} connected")
        likely = list(_likely(found["inbox"] or 0, under_way))[:3]
    say("")
    for line in aligned(likely):
        say(f"  {line}")
    return say("\nmakima --help names all commands.")


def _many(number: int, of: str) -> str:
    return f"{number or 'no'} {of}{'' if number == 1 else 's'}"


def _likely(waiting: int, under_way: int) -> Iterator[tuple[str, str]]:
    if waiting:
        yield "makima inbox", f"{waiting} wait{'s' if waiting == 1 else ''} for you"
    if under_way:
        yield "makima directive watch", "follow the newest until it ends"
    yield RUN
    yield "makima directive list", "all of them"
    yield "makima status", "what runs, and what is broken"
