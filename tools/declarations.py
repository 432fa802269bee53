"""What the code declares: each service's messages in and out, and every message there is."""

from __future__ import annotations

from importlib import import_module

import msgspec

from shared.messages.channels import CHANNELS, ByChannel, Message

SERVICES = ("planner", "executor", "monitor", "completer", "broker", "gateway", "daemon")


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A service's declarations: the events, and the other messages by channel."""

    name: str
    about: str
    consumes: frozenset[Message]
    emits: frozenset[Message]
    receives: ByChannel
    sends: ByChannel


def services() -> list[Service]:
    """The services as their modules declare them: CONSUMES and EMITS, RECEIVES and SENDS."""
    found = []
    for name in SERVICES:
        module = import_module(f"services.{name}.service")
        about = (import_module(f"services.{name}").__doc__ or "").splitlines()[0]
        found.append(
            Service(
                name=name,
                about=about,
                consumes=frozenset(getattr(module, "CONSUMES", ())),
                emits=getattr(module, "EMITS", frozenset()),
                receives=getattr(module, "RECEIVES", {}),
                sends=getattr(module, "SENDS", {}),
            )
        )
    return found


def messages() -> list[Message]:
    """Every declared message, once."""
    return list(dict.fromkeys(message for channel in CHANNELS for message in channel.messages))


def tag(message: Message) -> str:
    """The type that a message carries on the wire."""
    found = message.__struct_config__.tag
    assert isinstance(found, str)
    return found
