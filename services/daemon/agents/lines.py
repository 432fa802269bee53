"""A JSON line of an agent, read for what can be read of it: what is odd costs its own field, never the line."""

from __future__ import annotations

import json
import math
import re
from typing import TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

DEEPEST = 50
"""Levels of nesting; what lies deeper is read as null."""
LONGEST_NUMBER = 18
"""Digits of a whole number: what is longer fits no counter, and is read as null."""
_HALF = re.compile("[\ud800-\udfff]")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def read(decoder: msgspec.json.Decoder[T], line: str) -> T | None:
    """The line as the decoder's type; None for what is no JSON object of that type at all. Never raises."""
    try:
        return decoder.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return _salvaged(decoder.type, line)


def object_of(line: str) -> dict[str, object] | None:
    """A JSON object, by a reader that takes half of a surrogate pair, control characters and any number; else None."""
    try:
        found = json.loads(
            _flat(line), strict=False, parse_float=_fraction, parse_int=_whole, parse_constant=lambda _: None
        )
    except (ValueError, RecursionError):
        return None
    return {_HALF.sub("\ufffd", k): _whole_characters(v) for k, v in found.items()} if isinstance(found, dict) else None


def text_of(value: object) -> str:
    """A value as JSON, for a reader."""
    try:
        return msgspec.json.encode(value).decode()
    except (msgspec.MsgspecError, RecursionError, TypeError, UnicodeError):
        return ""


def _salvaged(wanted: type[T], line: str) -> T | None:
    """Read field by field."""
    if (found := object_of(line)) is None:
        return None
    kept = {}
    for field in msgspec.structs.fields(wanted):
        if field.encode_name in found:
            try:
                kept[field.name] = msgspec.convert(found[field.encode_name], field.type)
            except (msgspec.MsgspecError, RecursionError):
                continue
    if any(field.required and field.name not in kept for field in msgspec.structs.fields(wanted)):
        return None
    return wanted(**kept)


def _flat(line: str) -> str:
    """JSON with null in the place of what is nested too deep."""
    depth, begin, parts = 0, 0, []
    for token in _TOKEN.finditer(line):
        if token[0] in "[{":
            depth += 1
            if depth == DEEPEST + 1:
                parts.append(line[begin : token.start()])
        elif token[0] in "]}":
            if depth == DEEPEST + 1:
                parts.append("null")
                begin = token.end()
            depth -= 1
    return "".join((*parts, line[begin:])) if parts else line


def _whole_characters(value: object) -> object:
    match value:
        case str():
            return _HALF.sub("\ufffd", value)
        case list():
            return [_whole_characters(part) for part in value]
        case dict():
            return {_HALF.sub("\ufffd", key): _whole_characters(part) for key, part in value.items()}
        case _:
            return value


def _fraction(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _whole(text: str) -> int | None:
    return int(text) if len(text) <= LONGEST_NUMBER else None
