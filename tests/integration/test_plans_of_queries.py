"""No statement of a service reads a growing table from end to end: every one goes by an index, and into it by a key,
in a database with a past as in a new one, of whose sizes Postgres knows nothing when it makes the plans."""

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from shared.store.database import PLANS
from shared.store.statements import statements
from tests import postgres

SERVICES = ("executor", "monitor", "planner", "completer", "gateway.rows")
GROWING = frozenset({"task", "step", "step_dependency", "directive", "attempt", "task_output", "event", "plan_request"})
WALKS = {
    ("gateway.rows", "tasks"): "newest first by the primary key, until the page is full",
    ("gateway.rows", "settled_position"): "from the newest entry back, over a few seconds' worth",
    ("gateway.rows", "last_position"): "the last entry of the primary key",
    ("gateway.rows", "counts"): "every directive, for /metrics",
    ("gateway.rows", "overview"): "every directive of an owner, counted by status",
    ("monitor", "forget_output"): "what is old, by a BRIN index of the age, which only a bitmap scan reads",
    ("monitor", "forget_events"): "the same",
    ("monitor", "advance_all"): "all unsettled steps of active directives, when it sweeps; of some directives, theirs",
    ("executor", "due_steps"): "the first entry of step_ready, and from there one look a directive",
    ("executor", "claim_pending"): "the same, for whose turn it is",
}
"""Statements that read without a key, and how far."""
LIVE = frozenset(
    {
        "task_pending",
        "task_on_a_daemon",
        "task_cancel_asked",
        "task_message_undelivered",
        "task_unsettled_delivery",
        "plan_request_unserved",
        "question_open",
        "task_refused",
        "directive_waits_for_a_person",
    }
)
"""Indexes of what waits or is under way just now: little, whatever a directive's or the database's size."""
HOT = [(s, name) for s in SERVICES for name in statements(f"services.{s}") if (s, name) not in WALKS]


@pytest.fixture(scope="module", params=["new", "with a past"])
def connection(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """A connection that plans as a service's does."""
    with postgres.running() as server:
        url = server.url(server.fresh())
        with psycopg.connect(url, autocommit=True, options=PLANS) as connected:
            if request.param == "with a past":
                fill(connected)
            yield connected


def fill(connection: psycopg.Connection) -> None:
    connection.execute("INSERT INTO makima.owner (id, name) VALUES (gen_random_uuid(), 'default')")
    connection.execute(
        "INSERT INTO makima.directive (id, owner_id, title, goal, status)"
        " SELECT gen_random_uuid(), o.id, 't', 'g', 'idle' FROM makima.owner o, generate_series(1, 300)"
    )
    connection.execute(
        "INSERT INTO makima.step (id, directive_id, name, status)"
        " SELECT gen_random_uuid(), d.id, 's', 'completed' FROM makima.directive d, generate_series(1, 20)"
    )
    connection.execute(
        "INSERT INTO makima.task (id, owner_id, directive_id, step_id, kind, name, status)"
        " SELECT gen_random_uuid(), d.owner_id, d.id, s.id, 'step', 't', 'completed'"
        "   FROM makima.directive d JOIN makima.step s ON s.directive_id = d.id"
    )
    connection.execute(
        "INSERT INTO makima.step_dependency (step_id, depends_on, position)"
        " SELECT a.id, b.id, 0 FROM makima.step a JOIN makima.step b ON b.directive_id = a.directive_id AND b.id < a.id"
    )
    connection.execute(
        "INSERT INTO makima.attempt (task_id, number, agent, outcome)"
        " SELECT t.id, 1, 'shell', 'succeeded' FROM makima.task t"
    )
    connection.execute(
        "INSERT INTO makima.task_output (task_id, attempt, first_seq, last_seq, events)"
        " SELECT t.id, 1, 0, 0, '[]' FROM makima.task t"
    )
    connection.execute(
        "INSERT INTO makima.plan_request (id, directive_id, reason, served_by)"
        " SELECT gen_random_uuid(), t.directive_id, 'goal', t.id FROM makima.task t"
    )
    connection.execute(
        "INSERT INTO makima.event (type, directive_id, body)"
        " SELECT 'task.changed', t.directive_id, '{}' FROM makima.task t"
    )
    connection.execute("VACUUM ANALYZE")


def plan(connection: psycopg.Connection, statement: str) -> dict[str, Any]:
    """The plan for any parameters, as a prepared statement of a service gets it."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    numbered = re.sub(r"%\((\w+)\)s", number, statement).replace("%%", "%").rstrip(";")
    found = psycopg.RawCursor(connection).execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {numbered}").fetchone()
    assert found is not None
    document = found[0] if isinstance(found[0], list) else json.loads(found[0])
    root: dict[str, Any] = document[0]["Plan"]
    return root


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from nodes(child)


def whole_reads(connection: psycopg.Connection, statement: str) -> list[str]:
    """Where a plan reads a growing table, or an index over all of it, from end to end."""
    found = []
    for node in nodes(plan(connection, statement)):
        if node.get("Relation Name") not in GROWING:
            continue
        by_key = "Index Cond" in node or node.get("Index Name") in LIVE
        if node["Node Type"] == "Seq Scan" or ("Index" in node["Node Type"] and not by_key):
            found.append(f"{node['Node Type']} on {node['Relation Name']} {node.get('Index Name', '')}".strip())
    return found


@pytest.mark.parametrize(("service", "name"), HOT)
def test_a_statement_goes_into_growing_tables_by_a_key(connection: psycopg.Connection, service: str, name: str) -> None:
    assert whole_reads(connection, statements(f"services.{service}")[name]) == []


def test_a_statement_that_reads_all_is_found(connection: psycopg.Connection) -> None:
    assert whole_reads(connection, "SELECT * FROM makima.task t WHERE t.name = %(name)s") != []
