"""Plans drawn at random: every DAG is taken with just its dependencies, every cycle is refused and named."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ids import uuid7
from shared.domain.plans import PlannedStep, PlanRefused, resolve
from shared.domain.retry import LONGEST_BACKOFF_SECONDS, backoff_seconds, may_retry

SHAPES = st.lists(st.lists(st.integers(0, 30), max_size=4), min_size=1, max_size=12)
IDS = [uuid7(n, bytes(10)) for n in range(12)]


def names(shape: list[list[int]]) -> list[list[str]]:
    """Each step's dependencies, all on earlier steps, by name."""
    return [[f"s{i % at}" for i in wanted] if at else [] for at, wanted in enumerate(shape)]


def plan(needs: list[list[str]]) -> list[PlannedStep]:
    return [PlannedStep(name=f"s{n}", depends_on=tuple(wanted)) for n, wanted in enumerate(needs)]


@given(SHAPES, st.randoms(use_true_random=False))
def test_any_dag_is_taken_in_any_order(shape: list[list[int]], rng) -> None:  # type: ignore[no-untyped-def]
    steps = plan(names(shape))
    rng.shuffle(steps)
    by_name = {s.name: i for s, i in zip(steps, IDS, strict=False)}
    resolved = resolve(steps, {}, IDS[: len(steps)])
    assert [set(r) for r in resolved] == [{by_name[str(n)] for n in s.depends_on} for s in steps]


@given(SHAPES.filter(lambda s: len(s) > 1), st.data())
def test_any_cycle_is_refused_and_named(shape: list[list[int]], data: st.DataObject) -> None:
    needs = names(shape)
    first = data.draw(st.integers(0, len(shape) - 2))
    last = data.draw(st.integers(first + 1, len(shape) - 1))
    for at in range(first + 1, last + 1):
        needs[at].append(f"s{at - 1}")
    needs[first].append(f"s{last}")
    with pytest.raises(PlanRefused, match="the plan has a cycle: ") as refused:
        resolve(plan(needs), {}, IDS[: len(shape)])
    cycle = str(refused.value).partition("cycle: ")[2].split(" -> ")
    assert cycle[0] == cycle[-1] and len(cycle) > 1
    edges = list(pairwise(cycle))
    as_needs = all(b in needs[int(a[1:])] for a, b in edges)
    as_order = all(a in needs[int(b[1:])] for a, b in edges)
    assert as_needs or as_order, f"no such cycle in the plan: {cycle}"


@given(st.integers(1, 200), st.floats(0, 1, exclude_max=True))
def test_a_backoff_grows_with_jitter_and_has_an_end(failures: int, jitter: float) -> None:
    seconds = backoff_seconds(failures, jitter)
    assert 0 < seconds <= LONGEST_BACKOFF_SECONDS
    assert backoff_seconds(failures + 2, jitter) >= seconds
    assert not may_retry(failures, max_attempts=failures)
    assert may_retry(failures - 1, max_attempts=failures)
