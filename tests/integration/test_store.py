"""The store on a real Postgres: migrations both ways, the one clock, audit within the transaction, claims once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from shared.domain.ids import new_id
from shared.failpoints import arm
from shared.messages.events import DirectiveChanged, Event
from shared.store.database import connect
from shared.store.migrate import migrate, revert
from shared.store.statements import Command
from tests import postgres
from tests.conftest import ROOT
from tests.contract.rows import Rows

SETTLE = Command("settle", "UPDATE makima.directive SET status = 'idle'")
SCHEMA = """
    SELECT table_name, column_name, data_type, column_default, is_nullable FROM information_schema.columns
     WHERE table_schema = 'makima'
     UNION ALL SELECT 'index', indexname, indexdef, NULL, NULL FROM pg_indexes WHERE schemaname = 'makima'
     UNION ALL SELECT 'view', viewname, definition, NULL, NULL FROM pg_views WHERE schemaname = 'makima'
     UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid), NULL, NULL FROM pg_trigger WHERE NOT tgisinternal
     UNION ALL SELECT 'function', p.oid::regprocedure::text, md5(p.prosrc), NULL, NULL FROM pg_proc p
                 JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'makima'
     ORDER BY 1, 2
"""


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Postgres]:
    """A server for the module."""
    with postgres.running() as running:
        yield running


@pytest.fixture
def database(server: postgres.Postgres) -> str:
    """A migrated database."""
    return server.fresh()


def filled(connection: psycopg.Connection) -> Rows:
    """A database in the midst of work."""
    rows = Rows(connection)
    rows.daemon()
    directive = rows.directive()
    step, task = rows.running_step(directive)
    rows.step(directive, "after", depends_on=[step])
    rows.plan_request(directive)
    connection.execute("INSERT INTO makima.attempt (task_id, number, agent) VALUES (%s, 1, 'shell')", (task,))
    told = "INSERT INTO makima.task_message (id, task_id, text, delivered_as) VALUES (%s, %s, '', 'next_turn')"
    connection.execute(told, (new_id(), task))
    return rows


def test_each_migration_goes_down_and_up_again_on_a_filled_database(server: postgres.Postgres, database: str) -> None:
    url = server.url(database)
    with server.connect(database) as connection:
        filled(connection)
        before = connection.execute(SCHEMA).fetchall()
        numbers = [n for (n,) in connection.execute("SELECT number FROM public.makima_migration ORDER BY number DESC")]
        for number in numbers:
            if number > 1:  # the first takes everything with it
                assert len(revert(url, to=number - 1)) == 1
        assert connection.execute("SELECT count(*) FROM makima.step").fetchone() == (2,)
        assert len(migrate(url)) == len(numbers) - 1
        assert connection.execute(SCHEMA).fetchall() == before
        assert connection.execute("SELECT count(*) FROM makima.step").fetchone() == (2,)
        assert len(revert(url)) == len(numbers)
        assert connection.execute("SELECT to_regnamespace('makima') IS NULL").fetchone() == (True,)
        assert len(migrate(url)) == len(numbers)
        assert connection.execute(SCHEMA).fetchall() == before


def test_how_words_reached_an_agent_is_kept_on_the_way_down_and_up(server: postgres.Postgres, database: str) -> None:
    with server.connect(database) as connection:
        filled(connection)
        known = "SELECT delivered_as::text FROM makima.task_message"
        before = connection.execute(known).fetchall()
        revert(server.url(database), to=24)
        assert connection.execute(known).fetchall() == [("at its next turn",)]
        migrate(server.url(database))
        assert connection.execute(known).fetchall() == before == [("next_turn",)]


@pytest.mark.parametrize(
    "point",
    [
        "store.migrate.before",
        "store.migrate.after",
        "store.define.before",
        "store.define.after",
        "store.revert.before",
        "store.revert.after",
    ],
)
def test_killed_between_migrations_the_next_goes_on_where_it_was(
    server: postgres.Postgres, database: str, tmp_path: Path, point: str
) -> None:
    url = server.url(database)
    with server.connect(database) as connection:
        before = connection.execute(SCHEMA).fetchall()
        up = not point.startswith("store.revert")
        if up:
            revert(url)
        verb = "migrate" if up else "revert"
        arm(tmp_path, point, "kill")
        code = f"from shared.store.migrate import {verb}; {verb}({url!r})"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "MAKIMA_FAILPOINTS": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
        assert done.returncode == -signal.SIGKILL
        migrate(url)
        assert connection.execute(SCHEMA).fetchall() == before


def test_processes_that_start_together_migrate_once(server: postgres.Postgres) -> None:
    url = server.url(server.empty())
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(lambda _: migrate(url, "default"), range(4)))
    assert sorted(map(bool, applied)) == [False, False, False, True]


def test_a_connection_may_move_the_clock(server: postgres.Postgres, database: str) -> None:
    with server.connect(database) as connection:
        connection.execute("SET makima.now_offset = '1 hour'")
        row = connection.execute("SELECT makima.now() - clock_timestamp()").fetchone()
        assert row is not None
        assert abs(row[0] - timedelta(hours=1)) < timedelta(minutes=1)
        directive = Rows(connection).directive()
        row = connection.execute(
            "SELECT created_at > clock_timestamp() FROM makima.directive WHERE id = %s", (directive,)
        ).fetchone()
        assert row == (True,)


@pytest.mark.parametrize("fails", [False, True], ids=["committed", "rolled back"])
def test_an_event_is_in_the_log_and_published_if_and_only_if_its_change_is_committed(
    server: postgres.Postgres, database: str, fails: bool
) -> None:
    published: list[Event] = []
    with server.connect(database) as connection:
        rows = Rows(connection)
        directive = rows.directive()

        async def publish(events: Sequence[Event]) -> None:
            assert rows.one("directive", directive)["status"] == "idle", "published before the commit"
            published.extend(events)

        async def change() -> None:
            async with connect(server.url(database), publish) as pool, pool.unit_of_work("test") as unit:
                unit.execute(SETTLE())
                unit.record(DirectiveChanged(directive=directive, status="idle"))
                if fails:
                    raise LookupError

        if fails:
            with pytest.raises(LookupError):
                asyncio.run(change())
        else:
            asyncio.run(change())
        assert rows.one("directive", directive)["status"] == ("active" if fails else "idle")
        assert len(rows.all("event", directive_id=directive)) == len(published) == (0 if fails else 1)


@pytest.mark.parametrize("kind", ["step", "plan", "completion"])
def test_a_second_live_task_of_one_thing_cannot_be_stored(server: postgres.Postgres, database: str, kind: str) -> None:
    with server.connect(database) as connection:
        rows = Rows(connection)
        directive = rows.directive()
        step = rows.step(directive) if kind == "step" else None
        first = rows.task(directive, kind, step=step, status="running")
        with pytest.raises(psycopg.errors.UniqueViolation):
            rows.task(directive, kind, step=step)
        rows.change("task", first, status="completed")
        rows.task(directive, kind, step=step)
