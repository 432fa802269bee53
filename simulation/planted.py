"""Bugs that the simulator must find: small patches of the real code, each of a kind that people make."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, LiteralString
from unittest.mock import patch

from psycopg import OperationalError

from services.executor import rows as dispatched
from services.monitor import rows as watched
from services.monitor import service as monitor
from shared.domain import delivery_outcomes, outcomes
from shared.domain.statuses import ON_A_DAEMON
from shared.messages.frames import REPORT_REPLIES
from shared.messages.reports import Ack, Report
from shared.service import leadership
from shared.service.reactor import Reactor
from shared.store.statements import Query, statements
from simulation.history import Stage, play

Plant = Callable[[Stage], AbstractContextManager[None]]


@dataclass(frozen=True)
class Bug:
    """A patch, and what it breaks in words."""

    name: str
    plant: Plant


def _declared(module: ModuleType, name: str, old: str, new: str) -> Plant:
    """A statement of a module in which `old` reads `new`. Raises AssertionError when it doesn't hold `old` any more."""

    @contextlib.contextmanager
    def plant(_: Stage) -> Iterator[None]:
        statement: Query[Any] = getattr(module, name)
        package, _dot, key = statement.name.partition(".")
        text = statements(f"services.{package}")[key]
        assert old in text, f"statement {name} has changed; plant this bug anew: {old!r}"
        assert statement.row is not None
        planted = Query(statement.name, text.replace(old, new), statement.row)
        with patch.object(module, name, planted):
            yield

    return plant


def _attribute(target: object, name: str, value: object) -> Plant:
    @contextlib.contextmanager
    def plant(_: Stage) -> Iterator[None]:
        with patch.object(target, name, value):
            yield

    return plant


def _schema(do: LiteralString, undo: LiteralString) -> Plant:
    @contextlib.contextmanager
    def plant(stage: Stage) -> Iterator[None]:
        stage.server.rows(do)
        try:
            yield
        finally:
            stage.server.empty()
            stage.server.rows(undo)

    return plant


def _any_attempt(task: outcomes.Live, attempt: int, daemon: str) -> bool:
    del attempt
    return task.status in ON_A_DAEMON and task.daemon in (None, daemon)


def _any_daemon(task: outcomes.Live, attempt: int, daemon: str) -> bool:
    del daemon
    return task.status in ON_A_DAEMON and task.attempt == attempt


_take = monitor.Monitor.take


async def _acknowledge_first(self: monitor.Monitor, heard: monitor.Heard) -> None:
    for identity, report in heard:
        if isinstance(report, Report):
            answer = REPORT_REPLIES.encode([Ack(seqs=(report.seq,))])
            await self._reports.send("monitor.acknowledge", b"acks", identity, answer)
    await _take(self, heard)


async def _acknowledge_all_the_same(self: monitor.Monitor, heard: monitor.Heard) -> None:
    try:
        await _take(self, heard)
    except OperationalError:
        for identity, report in heard:
            if isinstance(report, Report):
                answer = REPORT_REPLIES.encode([Ack(seqs=(report.seq,))])
                await self._reports.send("monitor.acknowledge", b"acks", identity, answer)


async def _nothing(self: Any, *_: Any) -> list[Any]:  # noqa: ANN401
    """Something that is left out."""
    del self
    return []


def _readiness(old: LiteralString, new: LiteralString) -> Plant:
    """Rule 1 with `old` as `new`. Raises AssertionError when its view doesn't hold `old` any more."""

    @contextlib.contextmanager
    def plant(stage: Stage) -> Iterator[None]:
        rows = stage.server.rows("SELECT pg_get_viewdef('makima.runnable'::regclass) AS definition")
        before = " ".join(rows[0]["definition"].split())
        assert old in before, f"view runnable has changed; plant this bug anew: {old!r} in {before}"
        stage.server.rows(f"{_RUNNABLE} {before.replace(old, new)}")
        try:
            yield
        finally:
            stage.server.rows(f"{_RUNNABLE} {before}")

    return plant


_RUNNABLE: LiteralString = "CREATE OR REPLACE VIEW makima.runnable AS"


async def _whatever_ends(over: object, work: Callable[[], Awaitable[None]]) -> None:
    """Work to the end, whether or not it is over meanwhile."""
    del over
    await work()


BUGS = (
    Bug("a report counts whatever attempt it is of", _attribute(outcomes, "is_live", _any_attempt)),
    Bug("a report counts whichever daemon it comes from", _attribute(outcomes, "is_live", _any_daemon)),
    Bug("reports are acknowledged before they are written", _attribute(monitor.Monitor, "take", _acknowledge_first)),
    Bug(
        "reports are acknowledged though writing failed", _attribute(monitor.Monitor, "take", _acknowledge_all_the_same)
    ),
    Bug("leases never run out", _declared(watched, "LOST", "t.lease_until < makima.now()", "false")),
    Bug(
        "a claim has no lease",
        _declared(dispatched, "CLAIM_STEPS", "(SELECT makima.now()) + %(lease)s::float * interval '1 second'", "NULL"),
    ),
    Bug(
        "output of any daemon is kept",
        _declared(watched, "OUTPUT", "FROM judged WHERE theirs", "FROM judged"),
    ),
    Bug(
        "readiness doesn't look at dependencies",
        _readiness("ORDER BY e.depends_on DESC LIMIT 1", "ORDER BY e.depends_on DESC LIMIT 0"),
    ),
    Bug(
        "a step is ready with one dependency unfinished",
        _readiness("ORDER BY e.depends_on DESC LIMIT 1", "ORDER BY e.depends_on DESC OFFSET 1 LIMIT 1"),
    ),
    Bug("a leader works on after its lock was lost", _attribute(leadership, "_unless", _whatever_ends)),
    Bug(
        "an index that makes claims unique is lost",
        _schema(
            "DROP INDEX makima.task_one_live_a_step",
            """CREATE UNIQUE INDEX task_one_live_a_step ON makima.task (step_id)
            WHERE kind = 'step' AND status IN ('pending', 'starting', 'running', 'paused')""",
        ),
    ),
    Bug("a Hello that was lost is never asked for again", _attribute(monitor.Monitor, "_signs_of_life", _nothing)),
    Bug(
        "an unroutable task is put back whatever became of it since",
        _declared(dispatched, "PUT_BACK", "AND t.status = 'starting'", ""),
    ),
    Bug("a merge is believed whatever it holds", _attribute(delivery_outcomes, "_merged_without", lambda *_: None)),
    Bug(
        "a claim is not in the audit log",
        _declared(dispatched, "CLAIM_STEPS", "WHERE u.id IN (SELECT claimed.id FROM claimed)", "WHERE false"),
    ),
    Bug(
        "steps that become ready are not in the audit log",
        _declared(watched, "ADVANCE", "      FROM found f\n", "      FROM found f WHERE false\n"),
    ),
    Bug(
        "of the steps that changed at once one is not in the audit log",
        _declared(watched, "APPLY", "      FROM steps s\n)", "      FROM steps s OFFSET 1\n)"),
    ),
    Bug(
        "a directive that becomes idle is not in the audit log",
        _declared(watched, "IDLE", "      FROM idle i\n", "      FROM idle i WHERE false\n"),
    ),
    Bug("what failed is not tried again", _attribute(Reactor, "_back_off", _nothing)),
)


@dataclass(frozen=True)
class Found:
    """Which seed showed a bug, and by which promise; None when none did."""

    bug: str
    seed: int | None
    promise: str = ""


def find(stage: Stage, bug: Bug, seeds: Iterable[int]) -> Found:
    """Play histories with the bug planted until one of them breaks a promise."""
    with bug.plant(stage):
        for seed in seeds:
            if breaches := play(stage, seed).breaches:
                return Found(bug.name, seed, breaches[0].promise)
    return Found(bug.name, None)
