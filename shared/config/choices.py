"""The values that a field may have, for whoever gave another one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec


def choices(kind: Any) -> tuple[str, ...]:  # noqa: ANN401 - any type that msgspec reads
    """The values of an enumeration, optional or not; none of anything else.

    >>> choices(Literal["a", "b"] | None)
    ('a', 'b')
    """
    return tuple(_values(msgspec.inspect.type_info(kind)))


def of_field(struct: type[msgspec.Struct], name: str) -> tuple[str, ...]:
    """The same of a field, by its name in JSON."""
    return next((choices(field.type) for field in msgspec.structs.fields(struct) if field.encode_name == name), ())


def _values(kind: msgspec.inspect.Type) -> Iterator[str]:
    match kind:
        case msgspec.inspect.EnumType(cls=cls):
            yield from (str(member.value) for member in cls)
        case msgspec.inspect.LiteralType(values=values):
            yield from map(str, values)
        case msgspec.inspect.UnionType(types=types):
            for one in types:
                yield from _values(one)
