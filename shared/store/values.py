"""Python values as Postgres's binary parameters, by the type that Postgres gives a parameter; and rows as Structs."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

import msgspec
import psycopg
from psycopg.adapt import AdaptersMap, Buffer, Loader
from psycopg.pq import Format

R = TypeVar("R")
Encode = Callable[[Any], Buffer]
Make = Callable[[Sequence[Any]], Any]
"""A row of loaded values as what it becomes."""
_TYPES = psycopg.postgres.types
_TEXT, _JSON, _JSONB = _TYPES["text"].oid, _TYPES["json"].oid, _TYPES["jsonb"].oid
_JSON_ARRAYS = frozenset({_TYPES["json"].array_oid, _TYPES["jsonb"].array_oid})
_FIRST_OF_ITS_OWN = 16384
"""Object ids from here on are a database's own: its enums and domains, which travel as text."""
_json = msgspec.json.Encoder()
_NUL = re.compile(r"((?<!\\)(?:\\\\)*)\\u0000")


def as_json(value: object) -> str:
    """A value as a jsonb parameter, without the NULs that Postgres can't hold.

    Rows for `jsonb_to_recordset` are sent so: an array for each of many columns costs far more.

    >>> as_json([{"said": "a\\0b"}])
    '[{"said":"ab"}]'
    """
    text = _json.encode(value).decode()
    return _NUL.sub(r"\1", text) if r"\u0000" in text else text


def as_array(items: Iterable[str]) -> str:
    """Texts as Postgres writes an array of them: a column of arrays of different lengths travels as text."""
    escaped = (i.replace("\\", "\\\\").replace('"', '\\"') for i in items)
    return "{" + ",".join(f'"{i}"' for i in escaped) + "}"


def _by_psycopg(name: str) -> Encode:
    return psycopg.adapters.get_dumper_by_oid(_TYPES[name].oid, Format.BINARY)(object, None).dump  # type: ignore[return-value]


_numeric = _by_psycopg("numeric")
_ENCODERS: dict[str, Encode] = {
    "bool": struct.Struct(">?").pack,
    "int2": struct.Struct(">h").pack,
    "int4": struct.Struct(">i").pack,
    "int8": struct.Struct(">q").pack,
    "float8": struct.Struct(">d").pack,
    "numeric": lambda value: _numeric(Decimal(repr(value)) if isinstance(value, float) else value),
    "text": str.encode,
    "uuid": lambda value: value.bytes,
    "timestamptz": _by_psycopg("timestamptz"),
    "json": lambda value: as_json(value).encode(),
    "jsonb": lambda value: b"\x01" + as_json(value).encode(),
}


def encoder(oid: int) -> Encode:
    """How values of a type are sent. A parameter of json or jsonb takes any value; of an array, any sequence.

    Raises LookupError for a type that no statement has had a parameter of so far.
    """
    if oid >= _FIRST_OF_ITS_OWN:
        oid = _TEXT
    known = _TYPES[oid]
    if known.name not in _ENCODERS:
        raise LookupError(f"parameters of type {known.name} aren't known to {__name__}")
    encode = _ENCODERS[known.name]
    return _array(known.oid, encode) if oid == known.array_oid else encode


_HEAD, _LENGTH = struct.Struct(">iiI"), struct.Struct(">i")
_NULL = _LENGTH.pack(-1)


def _array(element: int, encode: Encode) -> Encode:
    """Arrays of one dimension: how many dimensions, whether there are NULLs, the type; its length, its lower bound."""

    def items(values: Sequence[Any]) -> bytes:
        if isinstance(values, str):
            raise TypeError("a str where a sequence is wanted")
        encoded = [None if value is None else encode(value) for value in values]
        parts = [_HEAD.pack(1 if encoded else 0, None in encoded, element)]
        parts += [_LENGTH.pack(len(encoded)), _LENGTH.pack(1)] if encoded else []
        for one in encoded:
            parts += [_NULL] if one is None else [_LENGTH.pack(len(one)), bytes(one)]
        return b"".join(parts)

    return items


class _Json(Loader):
    """json as its bytes, for the decoder of the field that it becomes."""

    format = Format.BINARY

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


class _Jsonb(_Json):
    def load(self, data: Buffer) -> bytes:
        return bytes(data)[1:]  # behind the version of its format


class Adapters:
    """What rows are loaded by: psycopg's own loaders, but for json."""

    connection = None

    def __init__(self) -> None:
        self.adapters = AdaptersMap(psycopg.adapters)
        self.adapters.register_loader("json", _Json)
        self.adapters.register_loader("jsonb", _Jsonb)


def loaded_as(oid: int) -> int:
    """The type whose loader reads a column of this one."""
    return _TEXT if oid >= _FIRST_OF_ITS_OWN else oid


@cache
def maker(row: type[R], columns: tuple[tuple[str, int], ...]) -> Callable[[Sequence[Any]], R]:
    """What makes rows of these columns, each a name and a type: a Struct of them, or the value of the only one.

    Kept, since looking a Struct's fields up takes a millisecond, and each connection asks.
    """
    if not (isinstance(row, type) and issubclass(row, msgspec.Struct)):
        ((_, oid),) = columns
        decode = _decoder(oid, row)
        return lambda values: msgspec.convert(values[0] if decode is None else decode(values[0]), row)
    names = tuple(name for name, _ in columns)
    types = {field.name: field.type for field in msgspec.structs.fields(row)}
    decoders = [(name, found) for name, oid in columns if (found := _decoder(oid, types.get(name, Any)))]

    def make(values: Sequence[Any]) -> R:
        record = dict(zip(names, values, strict=True))
        for name, decode in decoders:
            record[name] = decode(record[name])
        return msgspec.convert(record, row)

    return make


def _decoder(oid: int, kind: Any) -> Callable[[Any], Any] | None:  # noqa: ANN401
    """How json in a column becomes what the field is declared as; None for a column of another type."""
    if oid in (_JSON, _JSONB):
        decode = msgspec.json.Decoder(kind).decode
        return lambda text: None if text is None else decode(text)
    if oid in _JSON_ARRAYS:
        decode = msgspec.json.Decoder(kind).decode
        return lambda texts: None if texts is None else decode(b"[" + b",".join(texts) + b"]")
    return None
