"""How much of git's streams is on its way: what the link carries, without a queue that others would wait behind."""

from __future__ import annotations

import heapq
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.daemon.link.peers import is_ours
from services.daemon.link.windows import OutOfPlace, Receiving, Sending
from shared.messages.link import LEAST_BYTES, PIECE_BYTES, WIDE_BYTES, WINDOW_BYTES, Piece
from shared.messages.window import Window


def carried(rate: float, there_and_back: float, seconds: float = 60.0) -> tuple[float, float]:
    """Bytes a second that a link of this rate carries of an endless stream, and how long what is sent last queues."""
    sending, now, free_at, done = Sending(lambda: now, wide=True), 0.0, 0.0, 0
    answers: list[tuple[float, int]] = []
    at, queued = 0, 0.0
    while now < seconds:
        while room := sending.room:
            sending.piece(1, b"x" * room)
            at += room
            free_at = max(free_at, now) + room / rate
            queued = free_at - now
            heapq.heappush(answers, (free_at + there_and_back, at))
        now, upto = heapq.heappop(answers)
        sending.heard()
        sending.taken(upto)
        done = upto
    return done / now, queued


@pytest.mark.parametrize("rate", [0.2e6, 1e6, 10e6])
@pytest.mark.parametrize("there_and_back", [0.001, 0.05, 0.2])
def test_a_link_is_used_and_nothing_queues_for_long(rate: float, there_and_back: float) -> None:
    carries, queued = carried(rate, there_and_back)
    assert carries > 0.7 * min(rate, WIDE_BYTES / (there_and_back + WIDE_BYTES / rate))
    assert queued < max(1.0, 2 * LEAST_BYTES / rate)


def test_an_agents_stream_has_one_size_of_window() -> None:
    window = Window()
    for n in range(1, 100):
        window.sent(n * PIECE_BYTES, float(n))
        window.taken(n * PIECE_BYTES, n + 10.0 * (n % 7))
        assert window.bytes == WINDOW_BYTES


@given(st.lists(st.tuples(st.integers(1, WIDE_BYTES), st.floats(0, 10), st.floats(0, 10)), max_size=60))
def test_a_wide_window_keeps_within_its_bounds(turns: list[tuple[int, float, float]]) -> None:
    window, upto, now = Window(WIDE_BYTES), 0, 0.0
    for size, before, after in turns:
        upto, now = upto + size, now + before
        window.sent(upto, now)
        now += after
        window.taken(upto, now)
        assert LEAST_BYTES <= window.bytes <= WIDE_BYTES


@pytest.mark.parametrize("wide", [False, True])
def test_what_is_taken_in_is_bounded_by_the_kind_of_stream(wide: bool) -> None:
    receiving, most = Receiving(wide=wide), WIDE_BYTES if wide else WINDOW_BYTES
    for at in range(0, most, PIECE_BYTES):
        receiving.arrived(Piece(stream=1, at=at, data=b"x" * PIECE_BYTES))
    with pytest.raises(OutOfPlace):
        receiving.arrived(Piece(stream=1, at=most, data=b"x"))


def test_a_connection_of_our_account_is_known_and_one_that_is_over_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        with socket.create_connection(bound.getsockname()) as ours:
            connection, _ = bound.accept()
            assert is_ours(connection)
            ours.close()
        connection.close()
        assert not is_ours(connection)
