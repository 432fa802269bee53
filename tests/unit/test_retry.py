"""When a failed or lost attempt runs again, and after which pause."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.retry import (
    FIRST_WAIT_SECONDS,
    LONGEST_BACKOFF_SECONDS,
    LONGEST_WAIT_SECONDS,
    backoff_seconds,
    may_resume,
    may_retry,
    wait_seconds,
)


@pytest.mark.parametrize(("failures", "attempts", "again"), [(1, 1, False), (1, 2, True), (2, 2, False), (2, 3, True)])
def test_a_task_has_so_many_attempts_in_all(failures: int, attempts: int, again: bool) -> None:
    assert may_retry(failures, attempts) is again


def test_by_default_a_task_has_two_attempts_and_survives_five_lost_daemons() -> None:
    assert [may_retry(failures) for failures in (1, 2)] == [True, False]
    assert [may_resume(losses) for losses in (1, 5, 6)] == [True, True, False]
    assert [may_resume(losses, 1) for losses in (1, 2)] == [True, False]


@pytest.mark.parametrize(
    ("failures", "jitter", "seconds"),
    [(1, 0.5, 1), (2, 0.5, 2), (3, 0.5, 4), (4, 0.0, 4), (4, 0.75, 10), (0, 0.5, 1), (9, 0.5, 256), (10, 0.0, 150)],
)
def test_the_pause_doubles_a_failure_half_as_long_to_half_as_long_again(
    failures: int, jitter: float, seconds: float
) -> None:
    assert backoff_seconds(failures, jitter) == seconds


def test_a_provider_in_trouble_is_asked_again_ever_more_rarely() -> None:
    assert [wait_seconds(waits, 0.5) / FIRST_WAIT_SECONDS for waits in (0, 1, 2)] == [1, 2, 4]
    assert wait_seconds(1, 0.0) == FIRST_WAIT_SECONDS
    assert wait_seconds(1000, 0.9) == LONGEST_WAIT_SECONDS
    assert (FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS) == (10, 900)


@given(st.integers(0, 5000), st.floats(0, 1, exclude_max=True))
def test_no_pause_is_longer_than_the_longest(failures: int, jitter: float) -> None:
    assert 0 < backoff_seconds(min(failures, 1000), jitter) <= LONGEST_BACKOFF_SECONDS
    assert LONGEST_BACKOFF_SECONDS == 300
