"""A random plan with random outcomes, driven through the services' own statements, agrees with the pure model."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.executor.service import Executor
from services.gateway.rows.steps import MAKE_READY
from services.monitor.service import Monitor
from shared.config import Settings
from shared.domain.readiness import Node
from shared.domain.statuses import StepStatus
from shared.messages.commands import SpawnTask
from shared.messages.frames import COMMANDS
from shared.messages.reports import AnyReport, TaskAccepted, TaskFailed, TaskInterrupted, TaskStarted, TaskSucceeded
from shared.service.phase import Context
from shared.store.database import connect
from tests import oracle, postgres
from tests.contract.rows import Rows

MAX_STEPS = 32
OUTCOMES = ("completed", "completed", "completed", "failed for good", "tried again", "interrupted")

# What a step is: (order_index above its dependencies' highest, indexes of earlier steps that it depends on).
SHAPES = st.lists(
    st.tuples(st.integers(0, 1), st.lists(st.integers(0, 31), max_size=3)), min_size=1, max_size=MAX_STEPS
)


class Wire:
    """A channel that keeps what is sent, for the test to carry to the other side."""

    def __init__(self) -> None:
        self.spawned: list[SpawnTask] = []

    async def send(self, _place: str, topic: bytes, *rest: bytes) -> None:
        """Keep commands."""
        if topic == b"commands":
            self.spawned += [c for c in COMMANDS.decode(rest[-1]) if isinstance(c, SpawnTask)]

    async def receive(self) -> list[bytes]:
        """Nothing comes."""
        raise AssertionError("nobody answers commands here")

    async def receive_waiting(self, most: int = 1000) -> list[list[bytes]]:
        """Nothing comes."""
        raise AssertionError(f"nobody answers commands here, nor {most} at once")

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Postgres]:
    """A server; each plan gets a database of its own."""
    with postgres.running() as running:
        yield running


@given(shape=SHAPES, seed=st.integers(0, 2**32))
@settings(
    max_examples=20,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # an example takes a second: what fails is told by its seed, not shrunk
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_random_plan_runs_in_sql_as_the_model_says(
    server: postgres.Postgres, tmp_path: Path, shape: list[tuple[int, list[int]]], seed: int
) -> None:
    asyncio.run(drive(server.url(server.fresh()), tmp_path, shape, random.Random(seed)))


async def drive(url: str, home: Path, shape: list[tuple[int, list[int]]], rng: random.Random) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        rows = Rows(connection)
        rows.daemon(capacity=1000)
        directive = rows.directive(on_failure="continue", max_parallel=1000, max_attempts=3)
        model = plan(rows, directive, shape)
        async with connect(url) as database:
            context = Context(
                settings=Settings(home=home),
                database=database,
                bus=None,
                rng=rng,  # type: ignore[arg-type]
            )
            wire = Wire()
            executor, monitor = Executor(context, wire), Monitor(context, Wire())
            async with database.unit_of_work("test") as unit:
                await unit.fetch(MAKE_READY(directive=directive))
            agree(rows, directive, model)
            while not oracle.idle(model.values()):
                connection.execute("UPDATE makima.task SET not_before = makima.now() WHERE status = 'pending'")
                await executor.reconcile(frozenset({directive}))
                running, wire.spawned = wire.spawned, []
                assert running, "an unfinished plan always has something to run"
                rng.shuffle(running)
                reports: list[tuple[bytes, AnyReport]] = []
                for command in running:
                    assert command.step is not None
                    assert model[command.step].status is StepStatus.READY, "run although it wasn't ready, or twice"
                    outcome = rng.choice(OUTCOMES) if command.attempt < 3 else "completed"
                    reports += [(b"d1", report) for report in life(command, outcome)]
                    settle(model, command.step, outcome)
                cut = rng.randrange(len(reports) + 1)  # in batches that cut attempts in two, and doubled
                await monitor.take(reports[:cut])
                await monitor.take(reports[cut:])
                await monitor.take(reports)
                agree(rows, directive, model)
            assert rows.one("directive", directive)["status"] == "idle"


def plan(rows: Rows, directive: UUID, shape: list[tuple[int, list[int]]]) -> dict[UUID, Node]:
    """The steps, as rows and as the model has them."""
    model: list[Node] = []
    for number, (above, wanted) in enumerate(shape):
        needs = [model[i] for i in dict.fromkeys(i % number for i in wanted)] if number else []
        order = max((n.order_index for n in needs), default=0) + above
        ids = tuple(n.id for n in needs)
        step = rows.step(directive, f"s{number}", depends_on=ids, order_index=order)
        model.append(Node(id=step, status=StepStatus.PENDING, order_index=order, depends_on=ids))
    return refreshed({n.id: n for n in model})


def life(command: SpawnTask, outcome: str) -> list[AnyReport]:
    """What a daemon says of an attempt that ends so."""
    task, attempt = command.task, command.attempt
    end: AnyReport = TaskSucceeded(seq=3, task=task, attempt=attempt, branch=command.branch)
    if outcome == "interrupted":
        end = TaskInterrupted(seq=3, task=task, attempt=attempt, reason="stopped")
    elif outcome != "completed":
        end = TaskFailed(seq=3, task=task, attempt=attempt, reason="no", permanent=outcome == "failed for good")
    return [TaskAccepted(seq=1, task=task, attempt=attempt), TaskStarted(seq=2, task=task, attempt=attempt), end]


def settle(model: dict[UUID, Node], step: UUID, outcome: str) -> None:
    """The model after an attempt's end; under `continue` whatever depends on a failed step is skipped."""
    if outcome == "completed":
        change(model, step, StepStatus.COMPLETED)
    elif outcome == "failed for good":
        change(model, step, StepStatus.FAILED)
        doomed = {step}
        for node in model.values():  # in the order of the plan, so dependencies come first
            if doomed & set(node.depends_on) and node.status in (StepStatus.PENDING, StepStatus.READY):
                doomed.add(node.id)
                change(model, node.id, StepStatus.SKIPPED)
    model.update(refreshed(model))


def change(model: dict[UUID, Node], step: UUID, status: StepStatus) -> None:
    old = model[step]
    model[step] = Node(id=step, status=status, order_index=old.order_index, depends_on=old.depends_on)


def refreshed(model: dict[UUID, Node]) -> dict[UUID, Node]:
    """With what may run now ready. A failed step holds nobody back any more: its dependents are skipped already."""
    seen = {
        i: Node(
            id=i,
            status=StepStatus.SKIPPED if n.status is StepStatus.FAILED else n.status,
            order_index=n.order_index,
            depends_on=n.depends_on,
        )
        for i, n in model.items()
    }
    after = dict(model)
    for step in oracle.ready(seen.values()):
        change(after, step, StepStatus.READY)
    return after


def agree(rows: Rows, directive: UUID, model: dict[UUID, Node]) -> None:
    """The rows say what the model says; a step whose attempt is to be repeated may still be called running."""
    stored = {s["id"]: s["status"].replace("running", "ready") for s in rows.all("step", directive_id=directive)}
    assert stored == {i: n.status.value for i, n in model.items()}


@pytest.mark.parametrize(
    ("serving", "status"),
    [
        ([], "open"),
        (["completed"], "done"),
        (["completed", "running"], "in_progress"),
        (["completed", "failed"], "open"),
        (["failed", "pending"], "in_progress"),
        (["skipped"], "open"),
    ],
)
def test_an_order_stands_as_its_steps_do(server: postgres.Postgres, serving: list[str], status: str) -> None:
    with server.connect(server.fresh()) as connection:
        rows = Rows(connection)
        directive = rows.directive()
        orders = [rows.order(directive, status=before) for before in ("open", "in_progress", "done")]
        for number, one in enumerate(serving):
            step = rows.step(directive, f"S{number}", status=one)
            for order in orders:
                rows.serve(step, order)
        connection.execute("SELECT makima.settle_orders(%s)", (orders,))
        assert {rows.one("work_order", order)["status"] for order in orders} == {status}
