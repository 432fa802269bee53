"""Postgres is away, takes no writes, or has no connection left: it is said, waited for, and nothing is lost."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.faults import jobs
from tests.faults.conftest import Faulty, Server, quick
from tests.nothing_lost import assert_nothing_lost, rows
from tests.postgres import home
from tests.waiting import until


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Running, on a folder of its own."""
    with home() as folder:
        server = Server(folder)
        server.start()
        yield server
        server.stop(signal.SIGINT)


@pytest.fixture(scope="module")
def faulty(server: Server, tmp_path_factory: pytest.TempPathFactory, empty_home: Path) -> Iterator[Faulty]:
    """A quick cluster on it."""
    with quick(empty_home, tmp_path_factory.mktemp("failpoints"), postgres_url=server.url) as running:
        yield running


def begin(faulty: Faulty, origin: Path, number: int = 6, script: str = "sleep 1") -> str:
    """A directive with some of its tasks running."""
    steps = [{"name": f"step {n}", "taskPlan": f"{script}; echo {n} > {n}.txt"} for n in range(number)]
    path = origin.parent / "steps.json"
    path.write_text(json.dumps(steps))
    directive = jobs.create(faulty, "--repo", str(origin), "--plan", str(path), "--max-parallel", "3")
    until(lambda: rows(faulty, "SELECT FROM makima.task WHERE status = 'running'"), "a running task")
    return directive


def trouble(faulty: Faulty) -> str:
    """What /readyz complains of; nothing when it doesn't."""
    answer = httpx.get(f"http://127.0.0.1:{faulty.environment['MAKIMA_PORT']}/readyz", timeout=30)
    return "" if answer.status_code == 200 else str(answer.json()["detail"])


def ends_right(faulty: Faulty, directive: str) -> None:
    """The directive is completed by itself, and nothing is lost."""
    until(lambda: trouble(faulty) == "", "the gateway is ready again")
    jobs.await_status(faulty, directive, "completed", within_seconds=120)
    assert_nothing_lost(faulty)


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=pytest.mark.long)])
def test_while_it_is_away_that_is_said_and_work_goes_on_when_it_is_back(
    faulty: Faulty, server: Server, origin: Path, seconds: int
) -> None:
    directive = begin(faulty, origin)
    processes = faulty.processes()
    server.stop(signal.SIGQUIT)
    try:
        until(lambda: "Postgres doesn't answer" in trouble(faulty), "/readyz says so")
        assert "Postgres doesn't answer" in json.loads(faulty.run("status", "-o", "json").stdout)["trouble"]
        assert "Postgres doesn't answer just now" in faulty.makima("directive", "show", directive, code=1)
        time.sleep(seconds)  # so long it is away
    finally:
        server.start()
    ends_right(faulty, directive)
    assert faulty.processes() == processes, "nobody had to be started again"


@pytest.fixture
def forgetful(server: Server) -> Iterator[Server]:
    """A server that writes late what nobody waits for, so that the end of it is lost when it is stopped at once."""
    server.set("wal_writer_delay", "'10s'")
    server.execute("CREATE TABLE public.unawaited (number integer)")
    yield server
    server.execute("DROP TABLE public.unawaited")
    server.set("wal_writer_delay", "DEFAULT")


@pytest.mark.long
def test_commits_that_nobody_waited_for_may_be_forgotten(faulty: Faulty, forgetful: Server, origin: Path) -> None:
    directive = begin(faulty, origin, 24, "true")
    done = "SELECT count(*) AS steps FROM makima.step WHERE status = 'completed'"
    before = rows(faulty, done)[0]["steps"]
    for kill in range(1, 6):
        until(lambda: rows(faulty, done)[0]["steps"] >= before + 4 * kill, "steps are completed meanwhile")  # noqa: B023
        with psycopg.connect(forgetful.url, options="-c synchronous_commit=off") as connection:
            connection.execute("INSERT INTO public.unawaited VALUES (%s)", (kill,))
        forgetful.stop(signal.SIGQUIT)
        forgetful.start()
    assert len(rows(faulty, "SELECT number FROM public.unawaited")) < 5, "no commit was forgotten"
    ends_right(faulty, directive)


def test_while_it_takes_no_writes_that_is_said_and_waited_for(faulty: Faulty, server: Server, origin: Path) -> None:
    directive = begin(faulty, origin)
    processes = faulty.processes()
    server.set("default_transaction_read_only", "on")
    try:
        until(lambda: "Postgres takes no writes" in trouble(faulty), "/readyz says so")
        refused = faulty.makima("directive", "create", "--title", "x", "--goal", "y", code=1)
        assert refused.endswith("makima: Postgres takes no writes just now; ask again\n")
        asked = "SELECT count(*) AS unwritten FROM makima.task WHERE status = 'running' AND lease_until < makima.now()"
        until(lambda: rows(faulty, asked)[0]["unwritten"] > 0, "reports that could not be written")
    finally:
        server.set("default_transaction_read_only", "DEFAULT")
    ends_right(faulty, directive)
    assert faulty.processes() == processes, "nobody had to be started again"


@pytest.mark.long
def test_without_a_connection_left_a_service_waits_for_one(faulty: Faulty, server: Server, origin: Path) -> None:
    directive = begin(faulty, origin)
    with ExitStack() as taken:

        def exhausted() -> bool:
            try:
                for _ in range(200):
                    taken.enter_context(psycopg.connect(server.url))
            except psycopg.OperationalError as error:
                return "too many clients" in str(error)
            return False

        until(exhausted, "no connection is left")
        for name in ("executor", "monitor"):
            faulty.kill(name)
        gone = {"executor", "monitor"}
        until(lambda: exhausted() and gone <= set(faulty.state()["broken"]), "status says who isn't there")
    ends_right(faulty, directive)
