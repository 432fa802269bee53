"""Which service wrote which row: kept by triggers under each connection's name, and held to the table of owners.

Three conditions close every contract test. Each row that the service wrote is one of its own (ownership.py); each
status that it changed, it changed as the transition tables allow; and each such change stands in the audit log,
written in the same transaction, about the same directive. One thing is logged once, however often it happens: that an
attempt is asked for which no daemon can take, for the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import class_row

from shared.domain.statuses import DIRECTIVE_TRANSITIONS, STEP_TRANSITIONS, TASK_TRANSITIONS
from shared.messages.events import Event
from shared.messages.topics import Consumes
from tests.contract.ownership import OWN, Write

if TYPE_CHECKING:
    from tests.contract.service_harness import ServiceHarness

_INSTALL = """
    CREATE SCHEMA contract;
    CREATE TABLE contract.write (
        seq bigint GENERATED ALWAYS AS IDENTITY, xact text NOT NULL DEFAULT pg_current_xact_id()::text,
        by text NOT NULL DEFAULT current_setting('application_name'),
        "table" text NOT NULL, op text NOT NULL, before jsonb, after jsonb);
    CREATE FUNCTION contract.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO contract.write ("table", op, before, after)
        VALUES (TG_TABLE_NAME, TG_OP, CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END,
                CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
        RETURN NULL;
    END $$;
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'makima' LOOP
            EXECUTE format('CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON makima.%I '
                           'FOR EACH ROW EXECUTE FUNCTION contract.note()', name);
        END LOOP;
    END $$;
"""
_SWEEP = """
    DO $$ DECLARE name text; BEGIN
        SET LOCAL session_replication_role = replica;  -- neither foreign keys nor our own triggers
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'makima' AND tablename <> 'owner' LOOP
            EXECUTE format('DELETE FROM makima.%I', name);
        END LOOP;
        DELETE FROM contract.write;
    END $$;
"""


def install(connection: psycopg.Connection) -> None:
    """Let triggers note every write from now on."""
    connection.execute(_INSTALL)


def sweep(connection: psycopg.Connection) -> None:
    """Empty every table but the owners', and the notes."""
    while True:
        try:
            connection.execute(_SWEEP)
        except psycopg.errors.DeadlockDetected:
            continue  # the service was in the midst of something, and went on
        return


def writes(stage: ServiceHarness, by: str | None = None) -> list[Write]:
    """What a service (the stage's own, unless another is named) wrote since the sweep, in order."""
    statement = "SELECT * FROM contract.write WHERE by = %s ORDER BY seq"
    with stage.connection.cursor(row_factory=class_row(Write)) as cursor:
        return cursor.execute(statement, (f"makima {by or stage.service}",)).fetchall()


def consumes(service: str) -> Consumes | frozenset[type[Event]]:
    """The events that a service declares to consume."""
    declared: Consumes | frozenset[type[Event]]
    declared = getattr(import_module(f"services.{service}.service"), "CONSUMES", frozenset())
    return declared


def emits(service: str) -> frozenset[type[Event]]:
    """The events that a service declares to emit."""
    declared: frozenset[type[Event]] = import_module(f"services.{service}.service").EMITS
    return declared


_TRANSITIONS: Mapping[str, Mapping[Any, frozenset[Any]]] = {
    "directive": DIRECTIVE_TRANSITIONS,
    "step": STEP_TRANSITIONS,
    "task": TASK_TRANSITIONS,
}


def assert_own_rows_only(stage: ServiceHarness) -> None:
    """The closing conditions of a contract test; see the top."""
    stage.turn()
    written = writes(stage)
    own = OWN.get(stage.service, {})
    for write in written:
        if write.table == "event" and write.op == "INSERT":
            continue
        assert any(owns(write) for owns in own.get(write.table, ())), (
            f"{stage.service} wrote what isn't its own: {write}"
        )
        table, (before, after) = _TRANSITIONS.get(write.table, {}), write.move
        if table and write.op == "UPDATE" and before != after:
            assert after in table[before], f"no transition of the table: {write}"
    audited = {(w.xact, (w.after or {})["directive_id"]) for w in written if w.table == "event" and w.after}
    for write in written:
        if write.table in _TRANSITIONS and write.move[0] != write.move[1] and not _asked_again(write):
            row = write.after or write.before or {}
            directive = row["id"] if write.table == "directive" else row["directive_id"]
            assert (write.xact, directive) in audited, f"not in the audit log: {write}"
    declared = emits(stage.service)
    assert {type(e) for e in stage.events} <= declared, "an event that isn't declared"


def _asked_again(write: Write) -> bool:
    """Whether it only asks again for what was refused, or is refused as before."""
    refused = (write.before or {}).get("waiting_reason"), (write.before or {}).get("refused_since")
    return None not in refused and refused == (write.after["waiting_reason"], write.after["refused_since"])  # type: ignore[index]
