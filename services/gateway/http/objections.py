"""What is wrong with a request's parameters or body, in the words of HTTP, with the values that would be taken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

JSON = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "dict": "object"}
"""What Python's types are called there."""
_NAMED = re.compile(r"`(\w+)`")


def objections(handler: BaseRouteHandler, extra: object) -> Iterator[str]:
    """One for each parameter or field that a framework's error names."""
    for one in extra if isinstance(extra, list) else [extra]:
        if not isinstance(one, dict):
            yield str(one)
            continue
        key, message = str(one.get("key", "")), str(one.get("message", one))
        if (key, message) == ("data", "'data'"):
            yield "the body is missing; send a JSON object"
        elif allowed := _allowed(handler, key) if "enum" in message else ():
            yield f"{key}: {message.replace('Invalid enum value', 'not')}; one of {', '.join(allowed)}"
        else:
            where = "the body" if key in ("", "data") else key
            yield f"{where}: {_NAMED.sub(_in_json, message[:1].lower() + message[1:])}"


def _in_json(named: re.Match[str]) -> str:
    """A type by its name in JSON; a field stays as it stands, marked."""
    return JSON.get(named[1], named[0])


def _allowed(handler: BaseRouteHandler, key: str) -> tuple[str, ...]:
    """The values that a parameter, or a field of the body, may have; none where it isn't an enumeration."""
    if not isinstance(handler, HTTPRouteHandler):
        return ()
    parameters = handler.parsed_fn_signature.parameters
    kind: Any = parameters[key].annotation if key in parameters else None
    if kind is None and "data" in parameters:
        body = parameters["data"].annotation
        kind = next((field.type for field in msgspec.structs.fields(body) if field.encode_name == key), None)
    return tuple(_values(msgspec.inspect.type_info(kind))) if kind is not None else ()


def _values(kind: msgspec.inspect.Type) -> Iterator[str]:
    match kind:
        case msgspec.inspect.EnumType(cls=cls):
            yield from (str(member.value) for member in cls)
        case msgspec.inspect.LiteralType(values=values):
            yield from map(str, values)
        case msgspec.inspect.UnionType(types=types):
            for one in types:
                yield from _values(one)
