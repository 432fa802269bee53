"""`makima` alone: what runs, and the three commands that are most likely next."""

from __future__ import annotations

from collections.abc import Iterator

from cli.command import say, say_line
from cli.status import look, say_trouble
from cli.text import aligned, clean, wrapped
from shared.domain.statuses import Standing

_UNDER_WAY = (
    Standing.PLANNING, Standing.RUNNING, Standing.WAITING, Standing.AWAITING_APPROVAL, Standing.PAUSED,
    Standing.MERGING, Standing.CHECKING, Standing.DELIVERING,
)  # fmt: skip

RUN = ("makima run 'What you want'", "start a goal on this folder's repository")


def bare() -> int:
    """Say it; exit code 0."""
    found = look()
    if found.overview is None:
        for line in wrapped(clean(found.trouble or "nothing runs")):
            say(line)
        likely = [RUN, ("makima up", "start the cluster alone"), ("makima doctor", "what this machine has and lacks")]
    else:
        under_way = sum(found.overview.standings.get(one, 0) for one in _UNDER_WAY)
        connected = found.overview.daemons.get("connected", 0)
        say(f"makima runs: {_many(under_way, 'directive')} under way, {_many(connected, 'daemon')} connected")
        if found.trouble:
            say_trouble(found)
        likely = list(_likely(found.inbox or 0, under_way))[:3]
    say("")
    for line in aligned(likely):
        say_line(f"  {line}")
    return say("\nmakima --help names all commands.")


def _many(number: int, of: str) -> str:
    return f"{number or 'no'} {of}{'' if number == 1 else 's'}"


def _likely(waiting: int, under_way: int) -> Iterator[tuple[str, str]]:
    if waiting:
        yield "makima inbox", f"{waiting} wait{'s' if waiting == 1 else ''} for you"
    if under_way:
        yield "makima watch", "follow the newest until it ends"
    yield RUN
    yield "makima list", "all of them"
    yield "makima status", "what runs, and what is broken"
