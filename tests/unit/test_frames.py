"""Frames: what one version writes the next reads, and rubbish is refused, never a crash."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.delivery import Delivery, StepBranch
from shared.domain.ids import new_id
from shared.domain.names import task_branch
from shared.messages import frames
from shared.messages.commands import CancelTask, SpawnTask
from shared.messages.events import AnyEvent, StepReady, TaskChanged
from shared.messages.frames import (
    COMMANDS,
    LIMIT_BYTES,
    REPORTS,
    FrameTooLarge,
    FrameUnreadable,
    decode_event,
    decode_events,
    encode_event,
    encode_events,
    header,
    read_header,
)
from shared.messages.reports import Ack, OutputBatch, TaskAccepted


def test_an_event_comes_back_under_its_topic() -> None:
    event = StepReady(directive=new_id(), steps=(new_id(),))
    parts = encode_event(event, "monitor")
    assert parts[0] == b"step.ready/"
    assert decode_event(parts) == event


def test_unknown_fields_are_ignored_and_unknown_types_skipped() -> None:
    accepted = TaskAccepted(seq=1, task=new_id(), attempt=1)
    body = msgspec.msgpack.encode(
        [{**msgspec.to_builtins(accepted), "colour": "red"}, {"type": "FromTheFuture", "seq": 2}]
    )
    assert REPORTS.decode(body) == [accepted]


@given(st.binary())
def test_random_bytes_are_refused(data: bytes) -> None:
    for read in (
        lambda: decode_event([b"x", header("t"), data]),
        lambda: decode_event([data]),
        lambda: read_header(data),
    ):
        with pytest.raises(FrameUnreadable):
            read()


DEEP = b"\x91" * 5000 + b"\xc0"


@pytest.mark.parametrize(
    "data",
    [
        DEEP,
        b"\x91" * 5000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xd9\x03\xed\xa0\xbd",
        b"\x81\x90\xc0",
        b"\x81\xa2zz" + DEEP,
        msgspec.msgpack.encode({"type": "step.ready", "zz": msgspec.Raw(DEEP)}),
    ],
    ids=["deep", "torn", "long list", "long map", "long bytes", "surrogate", "odd key", "deep field", "deep event"],
)
def test_bytes_made_to_break_a_reader_are_refused(data: bytes) -> None:
    for read in (lambda: decode_events([b"x", header("t"), data]), lambda: read_header(data)):
        with pytest.raises(FrameUnreadable):
            read()
    with pytest.raises(FrameUnreadable):
        REPORTS.decode(data)


def test_a_frame_over_the_limit_is_refused_by_its_sender() -> None:
    batch = OutputBatch(seq=1, task=new_id(), attempt=1, directive=new_id(), first=0, lines=("x" * LIMIT_BYTES,))
    with pytest.raises(FrameTooLarge, match="OutputBatch"):
        REPORTS.encode([batch])


def test_the_order_to_deliver_ten_thousand_steps_fits_into_a_frame() -> None:
    names = [f"{n}: a step whose name says in a few more words what it does" for n in range(10_000)]
    steps = tuple(StepBranch(id=new_id(), name=n, branch=task_branch(n, new_id(), 1), head="f" * 40) for n in names)
    order = SpawnTask(
        task=new_id(),
        attempt=1,
        owner="default",
        directive=new_id(),
        kind="completion",
        name="deliver",
        merge_branches=tuple(s.branch for s in steps),
        delivery=Delivery(action="deliver", title="All of it", steps=steps),
    )
    assert COMMANDS.bodies([order], 1)[1] == []


def test_every_event_has_a_type_of_its_own_and_says_who_sends_it() -> None:
    kinds = AnyEvent.__args__
    assert len({k.__struct_config__.tag for k in kinds}) == len(kinds)
    assert all("By " in (k.__doc__ or "") for k in kinds)
    assert Ack(seqs=(1,)).seqs == (1,)


def test_events_of_one_topic_share_a_frame() -> None:
    directive = new_id()
    events = [TaskChanged(directive=directive, task=new_id(), status="completed") for _ in range(3)]
    assert decode_events(encode_events(events, "monitor")) == events


def cancel(size: int) -> CancelTask:
    """A command that is so many bytes long when encoded."""
    bare = CancelTask(task=new_id(), attempt=1, owner="o", reason="x" * 100)
    length = 100 + size - len(msgspec.msgpack.encode(bare))
    return msgspec.structs.replace(bare, reason="x" * (length - (length > 255)))  # a longer text has a longer head


@given(st.lists(st.integers(220, 405), max_size=12), st.integers(1, 4))
def test_messages_are_cut_into_bodies_below_the_limit_in_their_order(sizes: list[int], most: int) -> None:
    messages = [cancel(size) for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "LIMIT_BYTES", 400)
        bodies, too_large = COMMANDS.bodies(messages, most)
    read = [COMMANDS.decode(body) for body in bodies]
    assert all(len(body) <= 400 for body in bodies)
    assert all(1 <= len(each) <= most for each in read)
    assert [m for each in read for m in each] + too_large == sorted(messages, key=lambda m: m in too_large)
    assert all(size > 400 - 5 for size, m in zip(sizes, messages, strict=True) if m in too_large)


@pytest.mark.parametrize(("sizes", "bodies"), [((197, 198), 1), ((200, 200), 2), ((198, 198), 2)])
def test_the_head_of_the_list_counts_towards_the_limit(
    sizes: tuple[int, int], bodies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "LIMIT_BYTES", 400)
    cut, too_large = COMMANDS.bodies([cancel(size) for size in sizes], 10)
    assert (len(cut), too_large) == (bodies, [])
    assert all(len(body) <= 400 for body in cut)


def test_no_body_holds_more_messages_than_asked_for() -> None:
    cut, _ = COMMANDS.bodies([cancel(220) for _ in range(7)], 3)
    assert [len(COMMANDS.decode(body)) for body in cut] == [3, 3, 1]
