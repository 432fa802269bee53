"""What is wrong with a request's parameters or body, in the words of HTTP, with the values that would be taken."""

from __future__ import annotations

import re
from collections.abc import Iterator

from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from shared.config.choices import choices, of_field

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
    if key in parameters:
        return choices(parameters[key].annotation)
    return of_field(parameters["data"].annotation, key) if "data" in parameters else ()
