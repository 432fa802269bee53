"""The events of a directive in their own shapes, from how the gateway tells them."""

from __future__ import annotations

from shared.api.events import EventShown
from shared.messages import sentences
from shared.messages.events import AnyEvent


def read(event: EventShown) -> AnyEvent | None:
    """What an event says; None for one that this version doesn't know."""
    return sentences.read(event.type, event.directive_id, event.body)
