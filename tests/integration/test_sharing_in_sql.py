"""Rule 19 in SQL: slots go one by one to the directive with the fewest tasks running, and no slot stays free that one
could take. Held to a rule of a few lines that hands them out one after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from shared.store.database import PLANS
from shared.store.statements import statements
from tests import postgres
from tests.contract.rows import Rows

EXECUTOR = statements("services.executor")


@pytest.fixture(scope="module")
def connection() -> Iterator[psycopg.Connection]:
    with (
        postgres.running() as server,
        psycopg.connect(server.url(server.fresh()), autocommit=True, options=PLANS) as connected,
    ):
        yield connected


@dataclass
class Job:
    """A directive: how many of its tasks run, may run at once, wait to be sent again; and its ready steps by order."""

    running: int
    max_parallel: int
    retries: int
    ready: Sequence[int]
    id: UUID | None = None
    waiting: list[UUID] = field(default_factory=list)
    steps: list[UUID] = field(default_factory=list)


JOBS = st.builds(
    Job,
    running=st.integers(0, 3),
    max_parallel=st.integers(1, 5),
    retries=st.sampled_from((0, 0, 0, 1, 3)),
    ready=st.lists(st.integers(0, 2), max_size=6),
)


def handed_out(jobs: Sequence[Job], free: int) -> dict[UUID | None, int]:
    """How many slots each directive gets: each one goes to whichever has the fewest running and something to start."""
    got: Counter[UUID | None] = Counter()
    for _ in range(free):
        able = [job for job in jobs if _has_more(job, got[job.id])]
        if not able:
            break
        fewest = min(job.running + got[job.id] for job in able)
        level = [job for job in able if job.running + got[job.id] == fewest]
        got[min(level, key=lambda job: _next(job, got[job.id])).id] += 1
    return got


def _has_more(job: Job, got: int) -> bool:
    """What waits to be sent again goes first, and takes no regard of what its directive may run at once."""
    if got < job.retries:
        return True
    return got - job.retries < len(job.ready) and job.running + got < job.max_parallel


def _next(job: Job, got: int) -> tuple[object, ...]:
    """Among equals, whatever waits to be sent again goes first, then steps by the order of their plans."""
    if got < job.retries:
        return (0, 0, job.waiting[got])
    in_order = sorted(zip(job.ready, job.steps, strict=True))
    return (1, *in_order[got - job.retries])


def build(rows: Rows, jobs: Sequence[Job]) -> None:
    for job in jobs:
        job.id = rows.directive(max_parallel=job.max_parallel)
        for n in range(job.running):
            rows.running_step(job.id, f"r{n}")
        retried = [rows.step(job.id, f"w{n}", status="running") for n in range(job.retries)]
        job.waiting = [rows.task(job.id, step=step, attempt=2, not_before="2020-01-01") for step in retried]
        job.steps = [rows.step(job.id, f"s{n}", status="ready", order_index=order) for n, order in enumerate(job.ready)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(JOBS, min_size=1, max_size=5), st.integers(0, 12))
def test_slots_go_to_the_directive_with_the_fewest_tasks_running(
    connection: psycopg.Connection, jobs: list[Job], free: int
) -> None:
    with connection.transaction(force_rollback=True):
        rows = Rows(connection)
        build(rows, jobs)
        rows.daemon(capacity=free + sum(job.running for job in jobs))
        cursor = connection.cursor(row_factory=dict_row)
        claimed = cursor.execute(EXECUTOR["claim_pending"], {"lease": 30}).fetchall()
        due = cursor.execute(EXECUTOR["due_steps"]).fetchall()
        got = Counter(row["directive_id"] for row in (*claimed, *due))
        assert got == Counter(handed_out(jobs, free))
        for job in jobs:
            in_order = [step for _, step in sorted(zip(job.ready, job.steps, strict=True))]
            mine = {row["step_id"] for row in due if row["directive_id"] == job.id}
            assert mine == set(in_order[: len(mine)]), "within a directive, in the order of its plan"


def test_five_thousand_ready_steps_keep_no_small_directive_waiting(connection: psycopg.Connection) -> None:
    with connection.transaction(force_rollback=True):
        rows = Rows(connection)
        rows.daemon(capacity=24)
        large = rows.directive("Large", max_parallel=10_000)
        connection.execute(
            "INSERT INTO makima.step (id, directive_id, name, status)"
            " SELECT gen_random_uuid(), %s, 's', 'ready' FROM generate_series(1, 5000)",
            (large,),
        )
        small = [rows.directive(f"Small {n}") for n in range(20)]
        for directive in small:
            for n in range(3):
                rows.step(directive, f"s{n}", status="ready", order_index=n)
        due = connection.cursor(row_factory=dict_row).execute(EXECUTOR["due_steps"]).fetchall()
        started = Counter(row["directive_id"] for row in due)
        assert set(started) == {large, *small}
        assert set(started.values()) == {1, 2}
