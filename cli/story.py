"""A directive's log as a story: the sentences of what happened, each at its time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cli.events import read
from cli.text import clean
from shared.api.events import EventShown
from shared.domain.statuses import DirectiveStatus
from shared.messages import events
from shared.messages.events import AnyEvent

HANGING = " " * 12
"""Where a sentence begins, behind its time."""


def told(happened: Iterable[EventShown]) -> Iterator[str]:
    """A line for each event that means something to a person. A day is named where it begins."""
    day, rested = "", False
    for event in happened:
        at, body = event.at.astimezone(), read(event)
        rests, rested = rested, rests_after(body, rested)
        if event.said and not (rests and is_rest(body)):
            if day != (day := f"{at:%A, %-d %B %Y}"):
                yield day
            yield f"  {at:%H:%M:%S}  {clean(event.said)}{_by(event, body)}"


def _by(event: EventShown, body: AnyEvent | None) -> str:
    """Who did it, where somebody did; of what follows from it by itself, nobody."""
    by = event.body.get("by")
    return "" if by is None or isinstance(body, events.StepReady) else f" (by {clean(by)})"


def rests_after(event: AnyEvent | None, rested: bool) -> bool:
    """Whether all of its steps have ended since, and that was said: each look at a delivery comes back to that."""
    if isinstance(event, events.StepAdded | events.StepReady | events.StepChanged):
        return False
    return rested or is_rest(event)


def is_rest(event: AnyEvent | None) -> bool:
    """Whether it says that all steps have ended."""
    return isinstance(event, events.DirectiveChanged) and event.status == DirectiveStatus.IDLE
