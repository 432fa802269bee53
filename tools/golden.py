"""`just golden`: keep the bytes of every message as it is written today, for ever readable. Never changes one kept.

A message that is new, or has got new fields since it was kept, gets one more sample beside the earlier ones.
"""

from __future__ import annotations

import sys
import types
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from shared.domain.ids import uuid7
from shared.messages.channels import Message
from shared.messages.frames import Header
from tools.declarations import messages, tag

FOLDER = Path(__file__).parents[1] / "tests" / "contract" / "golden"
RETIRED = FOLDER / "retired"
"""Of messages that nobody sends any more, and that whoever gets one can do without."""
HEADER = "header"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes of one message, in hexadecimal, and what they must read as."""

    reads: dict[str, Any]
    bytes: str


def path(name: str) -> Path:
    """Where the samples of a message lie, by its type on the wire."""
    return FOLDER / f"{name}.json"


def kept(name: str) -> list[Sample]:
    """The samples of a message; none when it is new."""
    return msgspec.json.decode(path(name).read_bytes(), type=list[Sample]) if path(name).exists() else []


def kinds() -> dict[str, Message]:
    """Everything that golden bytes are kept of, by the name of its file."""
    return {HEADER: Header, **{tag(message): message for message in messages()}}


def is_kept(name: str, kind: Message) -> bool:
    """Whether some sample has each of the message's present fields."""
    fields = {field.encode_name for field in msgspec.structs.fields(kind)}
    return any(fields <= sample.reads.keys() for sample in kept(name))


def example(kind: Message) -> msgspec.Struct:
    """A message with a telling value in every field, the same each time."""
    hints = get_type_hints(kind, include_extras=True)
    names = kind.__struct_fields__
    return kind(**{name: _value(hints[name], name, number) for number, name in enumerate(names, 1)})


def _value(kind: Any, name: str, number: int) -> Any:  # noqa: ANN401 - whatever a field may hold
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _long_enough(_value(arguments[0], name, number), arguments[1:])
    if origin in (Union, types.UnionType):
        return _value(next(a for a in arguments if a is not type(None)), name, number)
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        return tuple(_value(arguments[0], name, number + at) for at in range(2))
    if origin is dict:
        return {name: _value(arguments[1], f"{name}'s", number)}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return example(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    simple = {
        str: f"{name} \u00fc",
        bytes: f"{name} \u00fc".encode(),
        int: number,
        float: number + 0.5,
        bool: True,
        UUID: uuid7(number, bytes(range(10))),
        datetime: datetime(2026, 1, 2, 3, 4, 5, number, tzinfo=UTC),
    }
    return simple[kind]


def _long_enough(value: Any, told: tuple[object, ...]) -> Any:  # noqa: ANN401 - whatever a field may hold
    """The value, a text no shorter than a field's annotations want it."""
    wanted = max([one.min_length or 0 for one in told if isinstance(one, msgspec.Meta)], default=0)
    return value.ljust(wanted, "-") if isinstance(value, str) else value


def main() -> int:
    """Add the samples that are missing; say which."""
    FOLDER.mkdir(exist_ok=True)
    for name, kind in kinds().items():
        if is_kept(name, kind):
            continue
        message = example(kind)
        sample = Sample(reads=msgspec.to_builtins(message), bytes=msgspec.msgpack.encode(message).hex())
        text = msgspec.json.format(msgspec.json.encode([*kept(name), sample]), indent=1)
        path(name).write_bytes(text + b"\n")
        print(f"kept the bytes of {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
