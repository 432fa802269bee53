"""Ids: version 7, in the order they were made, their last digits random enough for branches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ids import new_id, uuid7


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_uuid7_holds_its_time_its_version_and_its_variant(milliseconds: int, randomness: bytes) -> None:
    made = uuid7(milliseconds, randomness)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == milliseconds


@given(st.integers(0, 2**48 - 2), st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_a_later_millisecond_sorts_later(milliseconds: int, first: bytes, second: bytes) -> None:
    assert uuid7(milliseconds, first) < uuid7(milliseconds + 1, second)


def test_ids_of_one_process_rise_and_their_last_eight_digits_differ() -> None:
    made = [new_id() for _ in range(5000)]
    assert made == sorted(set(made))
    assert {i.version for i in made} == {7}
    assert len({i.hex[-8:] for i in made}) > 4990
