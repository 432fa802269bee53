"""The schema on a real Postgres: the migrations come to what schema.sql shows, and definitions and statuses hold."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from importlib import resources
from pathlib import Path

import psycopg
import pytest

from shared.domain import statuses
from shared.domain.roles import Role
from shared.store import migrate as migrating
from shared.store.migrate import (
    DatabaseRefused,
    DatabaseTooNew,
    MigrationChanged,
    definitions,
    migrate,
    refuse_foreign,
    refuse_unfit,
    revert,
)
from tests import postgres
from tests.contract.rows import Rows
from tools import state_machines

STORE = resources.files("shared.store")
CATALOGS = """
    SELECT 'column', format('%s.%s', c.relname, a.attname),
           concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                     pg_get_expr(d.adbin, d.adrelid), a.attidentity, col_description(c.oid, a.attnum))
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relnamespace = 'makima'::regnamespace AND c.relkind IN ('r', 'v')
     UNION ALL
    SELECT 'constraint', format('%s.%s', conrelid::regclass, conname), pg_get_constraintdef(oid)
      FROM pg_constraint WHERE connamespace = 'makima'::regnamespace
     UNION ALL
    SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'makima'
     UNION ALL
    SELECT 'type', t.typname,
           (SELECT string_agg(enumlabel, ' ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid)
      FROM pg_type t WHERE t.typnamespace = 'makima'::regnamespace AND t.typtype IN ('e', 'd')
     UNION ALL
    SELECT 'view', viewname, definition FROM pg_views WHERE schemaname = 'makima'
     UNION ALL
    SELECT 'function', oid::regprocedure::text, pg_get_functiondef(oid)
      FROM pg_proc WHERE pronamespace = 'makima'::regnamespace
     UNION ALL
    SELECT 'trigger', format('%s.%s', tgrelid::regclass, tgname), pg_get_triggerdef(oid)
      FROM pg_trigger WHERE NOT tgisinternal
     ORDER BY 1, 2
"""
TYPES: dict[str, type[StrEnum]] = {
    "directive_status": statuses.DirectiveStatus,
    "step_status": statuses.StepStatus,
    "task_status": statuses.TaskStatus,
    "task_kind": statuses.TaskKind,
    "order_status": statuses.OrderStatus,
    "pause_cause": statuses.PauseCause,
    "cancel_cause": statuses.CancelCause,
    "delivered_as": statuses.DeliveredAs,
    "attempt_outcome": statuses.AttemptOutcome,
    "key_status": statuses.KeyStatus,
    "role": Role,
}


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Postgres]:
    """A server for the module."""
    with postgres.running() as running:
        yield running


@pytest.fixture
def database(server: postgres.Postgres) -> str:
    """A migrated database."""
    return server.fresh()


def catalogs(connection: psycopg.Connection) -> list[tuple[str, ...]]:
    """All that a schema consists of, but for the order of columns."""
    return connection.execute(CATALOGS).fetchall()


def test_the_migrations_come_to_what_the_document_shows(server: postgres.Postgres, database: str) -> None:
    with server.connect(server.empty()) as connection:
        clock = (STORE / "definitions" / "clock.sql").read_text(encoding="utf-8")
        shown = (STORE / "schema.sql").read_text(encoding="utf-8")
        connection.execute(f"CREATE SCHEMA makima; {clock}; {shown}".encode())
        connection.execute(definitions())
        by_document = catalogs(connection)
    with server.connect(database) as connection:
        assert catalogs(connection) == by_document


def test_a_type_has_the_values_that_code_knows(server: postgres.Postgres, database: str) -> None:
    with server.connect(database) as connection:
        found = {name: text for kind, name, text in catalogs(connection) if kind == "type"}
    assert found == {name: " ".join(values) for name, values in TYPES.items()}


@pytest.mark.parametrize(("name", "kind", "table"), state_machines.MACHINES, ids=lambda value: str(value)[:9])
def test_a_row_makes_every_transition_of_its_table_and_no_other(
    server: postgres.Postgres, database: str, name: str, kind: type[StrEnum], table: state_machines.Table
) -> None:
    allowed = {(before, after) for before in kind for after in kind if before == after or after in table[before]}
    made = set()
    with server.connect(database) as connection:
        rows = Rows(connection)
        directive = rows.directive()
        for before in kind:
            for after in kind:
                row = {
                    "Directive": lambda b: rows.directive(status=b),
                    "Step": lambda b: rows.step(directive, status=b),
                    "Task": lambda b: rows.task(rows.directive(), status=b),
                }[name](str(before))
                try:
                    rows.change(name.lower(), row, status=str(after))
                    made.add((before, after))
                except psycopg.errors.CheckViolation as error:
                    assert error.diag.constraint_name == f"{name.lower()}_transition"
                    assert str(error).startswith(f"a {name.lower()} that is {before} can't become {after}")
                assert (rows.one(name.lower(), row)["status"] == after) == ((before, after) in made)
    assert made == allowed


def test_definitions_are_applied_anew_when_they_have_changed_and_only_then(
    server: postgres.Postgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version() -> object:
        with server.connect(database) as connection:
            row = connection.execute("SELECT xmin FROM pg_class WHERE relname = 'runnable'").fetchone()
            assert row is not None
            return row[0]

    before = version()
    assert migrate(server.url(database)) == []
    assert version() == before
    monkeypatch.setattr(
        migrating, "definitions", lambda: definitions() + "CREATE VIEW makima.more AS SELECT * FROM makima.runnable;"
    )
    migrate(server.url(database))
    changed = version()
    assert changed != before
    with server.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM makima.more").fetchone() == (0,)
    monkeypatch.undo()
    migrate(server.url(database))
    with server.connect(database) as connection:
        assert connection.execute("SELECT to_regclass('makima.more') IS NULL").fetchone() == (True,)


def test_a_definition_that_does_not_work_leaves_the_ones_before(
    server: postgres.Postgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "definitions", lambda: "CREATE VIEW makima.broken AS SELECT nothing;")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        migrate(server.url(database))
    with server.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM makima.runnable").fetchone() == (0,)


def test_a_migration_that_was_changed_after_it_was_applied_is_refused_by_name(
    server: postgres.Postgres, database: str
) -> None:
    url = server.url(database)
    with server.connect(database) as connection:
        connection.execute("UPDATE public.makima_migration SET checksum = 'another' WHERE number = 12")
    for refusing in (migrate, refuse_foreign):
        with pytest.raises(MigrationChanged, match="migration 012_steps_gone is not the one"):
            refusing(url)


def test_a_database_without_checksums_gets_those_of_what_it_has(server: postgres.Postgres, database: str) -> None:
    url = server.url(database)
    with server.connect(database) as connection:
        kept = connection.execute("SELECT number, checksum FROM public.makima_migration ORDER BY 1").fetchall()
        connection.execute("ALTER TABLE public.makima_migration DROP checksum")
        refuse_foreign(url)
        assert migrate(url) == []
        assert connection.execute("SELECT number, checksum FROM public.makima_migration ORDER BY 1").fetchall() == kept


def test_what_a_newer_makima_has_changed_is_refused(server: postgres.Postgres, database: str) -> None:
    with server.connect(database) as connection:
        connection.execute("INSERT INTO public.makima_migration VALUES (999, '999_from_the_future')")
    for refusing in (migrate, refuse_foreign):
        with pytest.raises(DatabaseTooNew, match="install that version"):
            refusing(server.url(database))


def test_rows_from_before_statuses_were_types_keep_them(server: postgres.Postgres, database: str) -> None:
    url = server.url(database)
    revert(url, to=20)
    with server.connect(database) as connection:
        rows = Rows(connection)
        directive = rows.directive(status="paused", paused_for="budget")
        step, task = rows.running_step(directive)
        connection.execute(
            "INSERT INTO makima.attempt (task_id, number, agent, outcome) VALUES (%s, 1, 'a', 'lost')", (task,)
        )
        rows.order(directive, status="in_progress")
        with pytest.raises(psycopg.errors.CheckViolation):
            rows.change("task", task, status="no status")
    assert [name[:3] for name in migrate(url)][:1] == ["021"]
    with server.connect(database) as connection:
        rows = Rows(connection)
        assert (rows.one("directive", directive)["status"], rows.one("directive", directive)["paused_for"]) == (
            "paused",
            "budget",
        )
        assert (rows.one("step", step)["status"], rows.one("task", task)["status"]) == ("running", "running")
        assert [a["outcome"] for a in rows.all("attempt", task_id=task)] == ["lost"]
        assert [o["status"] for o in rows.all("work_order")] == ["in_progress"]
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            rows.change("task", task, status="no status")


def test_every_file_is_of_a_known_kind() -> None:
    folder = Path(str(STORE))
    numbers = [int(file.name[:3]) for file in sorted((folder / "migrations").glob("*.up.sql"))]
    assert numbers == sorted(set(numbers)), "two migrations have one number"
    downs = {file.name.replace(".down.", ".up.") for file in (folder / "migrations").glob("*.down.sql")}
    assert downs == {file.name for file in (folder / "migrations").glob("*.up.sql")}


def test_a_database_in_another_encoding_is_refused_in_one_line(server: postgres.Postgres) -> None:
    with server.connect(server.empty()) as connection:
        connection.autocommit = True
        connection.execute("CREATE DATABASE old_ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(DatabaseRefused, match=r"encoded in SQL_ASCII, and makima needs UTF8; make another: CREATE"):
        refuse_foreign(server.url("old_ascii"))
    refuse_foreign(server.url(server.empty()))


def test_a_server_that_is_too_old_is_refused() -> None:
    refuse_unfit(140_000, "UTF8")
    with pytest.raises(DatabaseRefused, match="Postgres 13 is too old; makima needs 14 or newer"):
        refuse_unfit(130_022, "UTF8")
