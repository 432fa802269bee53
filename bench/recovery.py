"""`python -m bench.recovery`: each part of a cluster is killed in the midst of work: how soon that goes on.

A table; with --write-docs it goes to docs/reliability.md. Exit code 1 when a goal was missed.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psycopg

from bench import figures
from bench.cluster import STEP_SECONDS, Api, BenchFailed, Cluster, cluster
from bench.figures import ROOT, Figure
from bench.report import replace
from bench.workloads.fan import SLOTS
from shared.domain.plans import PlannedStep

DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- recovery: written by `just recovery --write-docs` -->", "<!-- end of recovery -->"
LEASE_SECONDS = 5.0
CHAIN = 4000
"""Steps, one after another: enough to be in the midst of them whenever something is killed."""
T = TypeVar("T")
GOAL_SECONDS = {"executor": 1.0, "monitor": 1.0, "planner": 1.0, "completer": 1.0, "gateway": 1.0, "broker": 3.0}


def main() -> int:
    """Take all figures; 1 when a goal was missed."""
    parser = argparse.ArgumentParser(prog="just recovery")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write-docs", action="store_true", help="put the figures into docs/reliability.md")
    arguments = parser.parse_args()
    try:
        found = [*_services(arguments.rounds), _lost_daemon(arguments.rounds)]
    except BenchFailed as error:
        print(f"recovery: {error}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        machine = figures.machine(Path(folder))
    lines = [
        f"Measured at `{figures.commit()}` on {machine.cores} cores, load {machine.load_before} before it; "
        f"the longest of {arguments.rounds} each:",
        "",
        "| | seconds | goal | |",
        "|---|---:|---:|---|",
        *(f"| {f.name} | {f.value:.2f} | ≤ {f.goal:g} | {'met' if f.met else 'missed'} |" for f in found),
        "",
    ]
    print("\n".join(lines))
    if arguments.write_docs:
        replace(DOCUMENT, BEGIN, END, "\n".join(lines))
    return int(not all(f.met for f in found))


def _quick(daemons: int = 0) -> AbstractContextManager[Cluster]:
    return cluster(daemons=daemons, lease_seconds=str(LEASE_SECONDS), lost_seconds="3", heartbeat_seconds="1")


def _services(rounds: int) -> Iterator[Figure]:
    with _quick() as running:
        running.driver(SLOTS)
        api = running.api()
        looks: dict[str, Callable[[datetime], datetime]] = {
            "executor": lambda dead: _next_step(running, dead),
            "monitor": lambda dead: _next_step(running, dead),
            "broker": lambda dead: _next_step(running, dead),
            "planner": lambda _: _first(running, "plan", _planless(api)),
            "completer": lambda _: _first(running, "completion", api.create("one", _steps(1), start=True)),
            "gateway": lambda _: _answers(running),
        }
        for name, look in looks.items():
            seconds = []
            for _ in range(rounds):
                with _chain(running) if name in ("executor", "monitor", "broker") else _nothing():
                    dead = _kill(running, name)
                    on = look(dead)
                    seconds.append(max((on - _ready(running, name, dead)).total_seconds(), 0.0))
            yield Figure(
                name=f"{name}: from its return until work goes on",
                value=max(seconds),
                unit="s",
                goal=GOAL_SECONDS[name],
            )
        seconds = []
        for _ in range(rounds):
            with _chain(running):
                dead = _kill(running, "postgres")
                back = _accepts(running)
                seconds.append(max((_next_step(running, dead) - back).total_seconds(), 0.0))
        yield Figure(name="Postgres: from its return until work goes on", value=max(seconds), unit="s", goal=3.0)


def _lost_daemon(rounds: int) -> Figure:
    seconds = []
    with _quick(daemons=2) as running:
        running.await_rows("SELECT FROM makima.daemon WHERE connected", (), 2)
        api = running.api()
        for _ in range(rounds):
            directive = api.create(
                "long", [PlannedStep(name="long", task_plan="sleep 600")], start=True, repository=None
            )
            task = "SELECT t.daemon, t.attempt FROM makima.task t WHERE t.directive_id = %s AND t.status = 'running'"
            daemon, _attempt = _row(running, task, directive)
            frozen = running.processes()[daemon]
            frozen.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            try:
                _row(running, f"{task} AND t.attempt = 2", directive)
                seconds.append(time.monotonic() - began)
            finally:
                frozen.send_signal(signal.SIGCONT)
            api.call("POST", f"/v1/directives/{directive}/archive")
            running.await_rows("SELECT FROM makima.daemon WHERE connected", (), 2)
    return Figure(
        name=f"daemon: from its silence until its task runs elsewhere, with a lease of {LEASE_SECONDS:g} s",
        value=max(seconds),
        unit="s",
        goal=LEASE_SECONDS + 5.0,
    )


def _steps(number: int) -> list[PlannedStep]:
    return [PlannedStep(name=f"step {n}", task_plan="true", depends_on=(n - 1,) if n else ()) for n in range(number)]


@contextmanager
def _chain(running: Cluster) -> Iterator[None]:
    """In the midst of a chain of steps, which is given up at the end."""
    began = datetime.now().astimezone()
    directive = running.api().create("chain", _steps(CHAIN), start=True)
    _next_step(running, began)
    try:
        yield
    finally:
        deadline = time.monotonic() + STEP_SECONDS
        while True:
            try:
                running.api().call("POST", f"/v1/directives/{directive}/archive")
            except (BenchFailed, OSError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                break


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _kill(running: Cluster, name: str) -> datetime:
    """Kill a process of it; when."""
    process = running.processes()[name]
    dead = datetime.now().astimezone()
    process.kill()
    return dead


def _ready(running: Cluster, name: str, after: datetime) -> datetime:
    """When a process said that it is ready again, by its supervisor's log."""
    deadline = time.monotonic() + STEP_SECONDS
    while time.monotonic() < deadline:
        for line in reversed((running.home / "errors").read_text().splitlines()):
            if '"process ready"' not in line:
                continue
            said = json.loads(line)
            at = datetime.fromisoformat(said["timestamp"])
            if said["process"] == name and at > after:
                return at
        time.sleep(0.02)
    raise BenchFailed(f"{name} is not ready again within {STEP_SECONDS:.0f} s")


def _next_step(running: Cluster, after: datetime) -> datetime:
    """When the first step started after a time, a moment of grace for what was on its way left out."""
    statement = """
        SELECT min(t.dispatched_at) FROM makima.task t
         WHERE t.kind = 'step' AND t.dispatched_at > %s + interval '50 milliseconds' HAVING count(*) > 0"""
    at: datetime = _row(running, statement, after)[0]
    return at


def _planless(api: Api) -> UUID:
    directive: UUID = UUID(
        api.call("POST", "/v1/directives", {"title": "planless", "goal": "```sh\ntrue\n```", "start": True})["id"]
    )
    return directive


def _first(running: Cluster, kind: str, directive: UUID) -> datetime:
    """When a directive got its first task of a kind."""
    at: datetime = _row(
        running, f"SELECT t.created_at FROM makima.task t WHERE t.directive_id = %s AND t.kind = '{kind}'", directive
    )[0]
    return at


def _answers(running: Cluster) -> datetime:
    """When the gateway answers."""

    def answered() -> datetime:
        running.api().call("GET", "/v1/overview")
        return datetime.now().astimezone()

    return _soon(answered)


def _accepts(running: Cluster) -> datetime:
    """When Postgres takes connections."""

    def connected() -> datetime:
        running.sql().close()
        return datetime.now().astimezone()

    return _soon(connected)


def _row(running: Cluster, statement: str, *parameters: object) -> tuple[Any, ...]:
    """The first row of a query, once there is one; Postgres may be away meanwhile."""

    def found() -> tuple[Any, ...] | None:
        with running.sql() as connection:
            return connection.execute(statement.encode(), parameters).fetchone()

    return _soon(found)


def _soon(look: Callable[[], T | None]) -> T:
    """What a look gives, once it gives something. Raises BenchFailed."""
    deadline = time.monotonic() + STEP_SECONDS
    while time.monotonic() < deadline:
        try:
            if (found := look()) is not None:
                return found
        except (OSError, psycopg.OperationalError, BenchFailed):
            pass  # not yet
        time.sleep(0.01)
    raise BenchFailed(f"nothing happened within {STEP_SECONDS:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
