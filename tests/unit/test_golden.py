"""Bytes that were once sent are read for ever: each message's are kept in tests/contract/golden by `just golden`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from shared.domain.ids import new_id
from shared.messages import channels
from shared.messages.channels import Message
from shared.messages.events import Event
from shared.messages.frames import (
    COMMANDS,
    DOWNWARD,
    REPLIES,
    REPORT_REPLIES,
    REPORTS,
    UPWARD,
    VERSION,
    Batch,
    FrameUnreadable,
    decode_event,
    header,
    read_header,
)
from shared.messages.link import Downward, Upward
from shared.messages.reports import Report
from tools import golden
from tools.declarations import messages, tag

KINDS = golden.kinds()
SAMPLES = [pytest.param(name, sample, id=f"{name}-{n}") for name in KINDS for n, sample in enumerate(golden.kept(name))]
CODECS = (
    (channels.COMMANDS, COMMANDS),
    (channels.REPLIES, REPLIES),
    (channels.REPORTS, REPORTS),
    (channels.ACKS, REPORT_REPLIES),
    (get_args(Upward), UPWARD),
    (get_args(Downward), DOWNWARD),
)


def read(name: str, data: bytes) -> msgspec.Struct:
    """What the receivers' own code makes of a message's bytes."""
    kind = KINDS[name]
    if name == golden.HEADER:
        return read_header(data)
    if issubclass(kind, Event):
        return decode_event([f"{name}/".encode(), header("test"), data])
    codec = next(codec for declared, codec in CODECS if kind in declared)
    (message,) = codec.decode(b"\x91" + data)  # a list of one
    return message  # type: ignore[return-value]


def defaults(kind: Message) -> dict[str, Any]:
    """The values of the fields that have one by default."""
    fields = [f for f in msgspec.structs.fields(kind) if not f.required]
    return {f.name: f.default if f.default is not msgspec.NODEFAULT else f.default_factory() for f in fields}  # type: ignore[operator]


@pytest.mark.parametrize("name", KINDS)
def test_every_message_is_kept_with_every_field_it_has_today(name: str) -> None:
    assert golden.is_kept(name, KINDS[name]), f"{name} is new, or has new fields: run `just golden`"


@pytest.mark.parametrize(("name", "sample"), SAMPLES)
def test_kept_bytes_still_mean_what_they_meant(name: str, sample: golden.Sample) -> None:
    now = msgspec.json.decode(msgspec.json.encode(read(name, bytes.fromhex(sample.bytes))))
    assert common(now, sample.reads) == common(sample.reads, now)


def common(one: Any, other: Any) -> Any:
    """Of a value what another one of its shape has as well: fields, at whatever depth, come and go."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {field: common(value, other[field]) for field, value in one.items() if field in other}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [common(*pair) for pair in zip(one, other, strict=True)]
    return one


@pytest.mark.parametrize(("name", "sample"), SAMPLES)
def test_fields_from_the_future_are_ignored(name: str, sample: golden.Sample) -> None:
    data = bytes.fromhex(sample.bytes)
    longer = msgspec.msgpack.encode({**msgspec.msgpack.decode(data), "colour": {"red": [1, 2, 3]}})
    assert read(name, longer) == read(name, data)


@pytest.mark.parametrize("name", KINDS)
def test_fields_that_an_older_sender_does_not_know_take_their_defaults(name: str) -> None:
    kind = KINDS[name]
    known = msgspec.to_builtins(golden.example(kind), builtin_types=(bytes,))
    optional = defaults(kind)
    older = read(name, msgspec.msgpack.encode({k: v for k, v in known.items() if k not in optional}))
    assert {field: getattr(older, field) for field in optional} == optional


def test_a_message_that_is_not_declared_any_more_is_kept_as_retired() -> None:
    assert {path.stem for path in golden.FOLDER.glob("*.json")} <= set(KINDS)
    assert not {path.stem for path in golden.RETIRED.glob("*.json")} & set(KINDS), "a retired name can't come back"


@pytest.mark.parametrize("path", sorted(golden.RETIRED.glob("*.json")), ids=lambda path: path.stem)
@pytest.mark.parametrize("codec", [codec for _, codec in CODECS])
def test_a_retired_message_costs_itself_alone(path: Path, codec: Batch[msgspec.Struct]) -> None:
    """Whoever still sends it loses nothing but that message: what stands beside it in a frame is read. So it is
    with a word that a field took once, and nobody ever sent (`Message.field.json`)."""
    declared = next(declared for declared, one in CODECS if one is codec)
    known = golden.example(declared[0])
    for sample in msgspec.json.decode(path.read_bytes(), type=list[golden.Sample]):
        skipped: list[str] = []
        body = b"\x93" + msgspec.msgpack.encode(known) + bytes.fromhex(sample.bytes) + msgspec.msgpack.encode(known)
        assert codec.decode(body, skipped.append) == [known, known] and len(skipped) == 1


def test_a_type_stands_for_one_message_only() -> None:
    assert len({tag(m) for m in messages()}) == len(messages())
    assert all(m.__doc__ and m.__doc__ != msgspec.Struct.__doc__ for m in messages())


@pytest.mark.parametrize(
    ("version", "readable"), [(0, False), (VERSION, True), (VERSION + 1, True), (VERSION + 2, False)]
)
def test_one_version_ahead_is_read_and_no_further(version: int, readable: bool) -> None:
    (sample,) = golden.kept(golden.HEADER)
    data = msgspec.msgpack.encode({**msgspec.msgpack.decode(bytes.fromhex(sample.bytes)), "v": version})
    if readable:
        assert read_header(data).v == version
    else:
        with pytest.raises(FrameUnreadable, match=f"version {version}"):
            read_header(data)


def test_of_a_batch_what_is_known_is_read_and_what_is_not_is_counted() -> None:
    known = golden.example(next(m for m in messages() if issubclass(m, Report)))
    body = msgspec.msgpack.encode([{"type": "FromTheFuture"}, known, {"type": "TaskFailed", "seq": "one"}, new_id()])
    skipped: list[str] = []
    assert REPORTS.decode(body, skipped.append) == [known]
    assert len(skipped) == 3
