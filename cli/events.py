"""The events of a directive in their own shapes, from how the gateway tells them."""

from __future__ import annotations

import msgspec

from shared.api.events import EventShown
from shared.messages.events import AnyEvent


def read(event: EventShown) -> AnyEvent | None:
    """What an event says; None for one that this version doesn't know."""
    try:
        told = {**event.body, "type": event.type, "directive": event.directive_id}
        return msgspec.convert(told, AnyEvent)  # type: ignore[no-any-return]
    except msgspec.ValidationError:
        return None
