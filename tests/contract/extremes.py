"""Messages of every type with the most extreme values that their fields' types can carry, as anybody may send them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from msgspec import inspect as types

from shared.domain.ids import new_id
from shared.messages.channels import Message

THOROUGH = settings(
    max_examples=60, suppress_health_check=list(HealthCheck), phases=set(Phase) - {Phase.shrink, Phase.explain}
)
"""Each example is one of a real process, so none is played again and again to find a smaller one."""
INTEGERS = (0, 1, -1, 2**30, 2**31 - 1, 2**31, -(2**31) - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63))
FRACTIONS = (0.0, -0.0, -1.0, 1e-320, 1e9, 1e18, 1.8e308, -1.8e308, math.inf, -math.inf, math.nan)
TEXTS = ("", "a", "\0", "a\0b", "x" * 3000, "\u202e", "\U0010ffff", "d1", "refs/heads/main")
Wild = st.SearchStrategy[Any]


def wild(kinds: Iterable[Message], ids: Sequence[UUID]) -> Wild:
    """A message of one of these types, to be encoded; ids are some of these, or nobody's.

    Half of them have only numbers that their types allow, so that they come as far as a message can.
    """
    declared = [types.type_info(kind) for kind in kinds]
    return st.one_of([_struct(kind, ids, allowed) for kind in declared for allowed in (True, False)])  # type: ignore[arg-type]


def packed(messages: Sequence[Any]) -> bytes:
    """A body with these messages, whatever their values."""
    return msgspec.msgpack.encode(messages)


def _struct(kind: types.StructType, ids: Sequence[UUID], allowed: bool) -> Wild:
    required = {f.encode_name: _value(f.type, ids, allowed) for f in kind.fields if f.required}
    others = {f.encode_name: _value(f.type, ids, allowed) for f in kind.fields if not f.required}
    tag = {kind.tag_field: st.just(kind.tag)} if kind.tag_field else {}
    return st.fixed_dictionaries({**tag, **required}, optional=others)


def _value(kind: types.Type, ids: Sequence[UUID], allowed: bool) -> Wild:
    match kind:
        case types.IntType():
            return st.sampled_from(_allowed(kind) if allowed else INTEGERS)
        case types.FloatType():
            return st.sampled_from([*map(float, _allowed(kind)), 1e-320] if allowed else FRACTIONS)
        case types.StrType():
            return st.sampled_from(TEXTS)
        case types.BoolType():
            return st.booleans()
        case types.NoneType():
            return st.none()
        case types.UUIDType():
            return st.sampled_from([str(i) for i in (*ids, new_id(), UUID(int=0), UUID(int=2**128 - 1))])
        case types.EnumType():
            return st.sampled_from([*(one.value for one in kind.cls), "none of them"])
        case types.BytesType():
            return st.sampled_from([b"", b"\0" * 9, b"x" * (kind.max_length or 9), b"x" * ((kind.max_length or 9) + 1)])
        case types.LiteralType():
            return st.sampled_from([*kind.values, "none of them"])
        case types.VarTupleType():
            return st.lists(_value(kind.item_type, ids, allowed), max_size=3)
        case types.DictType():
            return st.dictionaries(
                _value(kind.key_type, ids, allowed), _value(kind.value_type, ids, allowed), max_size=2
            )
        case types.UnionType():
            return st.one_of([_value(one, ids, allowed) for one in kind.types])
        case types.StructType():
            return _struct(kind, ids, allowed)
        case _:
            raise TypeError(f"no extremes of {kind}")


def _allowed(kind: types.IntType | types.FloatType) -> list[float]:
    """The least and the largest value of a type, and the most usual."""
    return [bound for bound in (kind.ge, 1, kind.le) if bound is not None]
