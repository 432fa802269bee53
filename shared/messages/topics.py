"""Topics: what an event goes out under, and the prefixes by which a service subscribes to no more than it acts on.

A topic is the event's type, and for what is told often the words that its consumers tell it apart by:
`task.changed/completed/step/`, `directive.changed/idle/`, `step.ready/`. Each frame costs every subscriber a wake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shared.messages.events import Event

ALL = ("",)
Consumes = Mapping[type[Event], tuple[str, ...]]
"""Which events a service subscribes to, each with the beginnings of the rest of its topic; ALL is every one."""


def event_type(event: Event | type[Event]) -> str:
    """The type that an event's topic begins with, e.g. 'step.ready'."""
    tag = event.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def topic(event: Event) -> str:
    """What an event goes out under."""
    return "/".join((event_type(event), *event.words(), ""))


def prefixes(consumes: Consumes | Iterable[type[Event]]) -> list[str]:
    """What to subscribe to for these events; to everything when none is given."""
    chosen = consumes if isinstance(consumes, Mapping) else dict.fromkeys(consumes, ALL)
    return [f"{event_type(kind)}/{rest}" for kind, rests in chosen.items() for rest in rests] or [""]
