"""`just asyncapi`: the AsyncAPI 3 document of every message, channel and service, written from the declarations."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import yaml

from shared.messages.channels import ADMITTED, CHANNELS, Channel, Message
from shared.messages.frames import LIMIT_BYTES, VERSION, Header
from tools.declarations import Service, messages, services, tag

PATH = Path(__file__).parents[1] / "docs" / "asyncapi.yaml"
Document = dict[str, Any]

ABOUT = f"""\
Every message that crosses a socket between makima's processes. All sockets are bound by the broker and everything else
connects. A frame is `[topic, header, body]`, header and body in MessagePack; one over {LIMIT_BYTES} bytes is refused
by its sender. Unknown fields are ignored, new fields have defaults, an unknown type or version is counted and skipped.

Who connects shows the key of its role, and is admitted to the endpoints that `x-admits` of a channel names it at. So
`x-roles` of an operation says whose key it takes: none for the broker's, which binds. `x-sent-by` of a message says
which services send it.

Written by `just asyncapi` from shared/messages and from what each service declares; change those, not this.
"""


KEY = {"$ref": "#/components/securitySchemes/key-of-a-role"}
SCHEME = {
    "type": "userPassword",
    "description": "ZeroMQ's PLAIN: the role's name, and its key, which the broker makes and keeps in the home.",
}


def document() -> Document:
    """The whole document, as AsyncAPI 3.0.0 has it."""
    _, schemas = msgspec.json.schema_components([*messages(), Header], ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "makima", "version": f"{VERSION}.0.0", "description": ABOUT},
        "defaultContentType": "application/vnd.msgpack",
        "servers": {
            "broker": {
                "host": "{home}/run",
                "protocol": "zeromq",
                "protocolVersion": "3.1",
                "description": "One Unix socket a channel, below the home of the cluster.",
                "variables": {"home": {"description": "MAKIMA_HOME of the cluster."}},
                "security": [KEY],
            }
        },
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": dict(operation for service in services() for operation in _operations(service)),
        "components": {
            "securitySchemes": {"key-of-a-role": SCHEME},
            "messages": {tag(m): _message(m) for m in messages()},
            "schemas": _plain_discriminators(schemas),
        },
    }


def _plain_discriminators(node: Any) -> Any:  # noqa: ANN401 - any part of a JSON schema
    """AsyncAPI wants a discriminator's property alone, where OpenAPI (and so msgspec) has a mapping, too."""
    if isinstance(node, list):
        return [_plain_discriminators(below) for below in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _plain_discriminators(below) for key, below in node.items()}
    if isinstance(mapped := plain.get("discriminator"), dict) and "propertyName" in mapped:
        plain["discriminator"] = mapped["propertyName"]
    return plain


def text() -> str:
    """The document as it is checked in."""
    return yaml.safe_dump(document(), sort_keys=False, width=120, allow_unicode=True)


def _channel(channel: Channel) -> Document:
    return {
        "address": channel.name,
        "description": f"{channel.about} Bound as {channel.pattern}; connects: {channel.connects}.",
        "servers": [{"$ref": "#/servers/broker"}],
        "x-admits": {endpoint: sorted(ADMITTED[endpoint]) for endpoint in channel.endpoints},
        "messages": {tag(m): {"$ref": f"#/components/messages/{tag(m)}"} for m in channel.messages},
    }


def _message(message: Message) -> Document:
    doc = inspect.cleandoc(message.__doc__ or "")
    return {
        "name": tag(message),
        "title": message.__name__,
        "summary": doc.splitlines()[0],
        "description": doc,
        "headers": {"$ref": f"#/components/schemas/{Header.__name__}"},
        "payload": {"$ref": f"#/components/schemas/{message.__name__}"},
        "x-sent-by": sorted(service.name for service in services() if message in gives(service)),
    }


def gives(service: Service) -> set[Message]:
    """Every message that a service sends, whatever the channel."""
    return {message for given in (service.emits, *service.sends.values()) for message in given}


def _roles(service: Service, channel: str) -> list[str]:
    """The roles in which a service is admitted to a channel: its own, if it is one that may connect there."""
    endpoints = next(c.endpoints for c in CHANNELS if c.name == channel)
    return sorted({role for endpoint in endpoints for role in ADMITTED[endpoint] if role == service.name})


def _operations(service: Service) -> Iterable[tuple[str, Document]]:
    takes = {"events": service.consumes, **service.receives}
    gives = {"events": service.emits, **service.sends}
    for action, verb, by_channel in (("receive", "takes", takes), ("send", "gives", gives)):
        for channel, declared in by_channel.items():
            if declared:
                references = [f"#/channels/{channel}/messages/{name}" for name in sorted(map(tag, declared))]
                yield (
                    f"{service.name}-{verb}-{channel}",
                    {
                        "action": action,
                        "channel": {"$ref": f"#/channels/{channel}"},
                        "summary": service.about,
                        "x-roles": _roles(service, channel),
                        "messages": [{"$ref": reference} for reference in references],
                    },
                )


def main() -> int:
    """Write the document."""
    PATH.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
