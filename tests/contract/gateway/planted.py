"""Everything that an owner can have, each text of it marked, so that none of it is seen where it isn't meant to be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from uuid import UUID

import psycopg
from psycopg import sql
from zmq.utils import z85

from services.gateway.access import hash_of
from shared.bus.link import fingerprint
from shared.domain.ids import new_id
from tests.contract.rows import Rows

MARK = "zqx7secret"
CHOSEN = {
    "daemon_key.public_key",
    "directive.on_failure",
    "directive.pr_state",
    "event.type",
    "person_token.hash",
    "plan_request.reason",
    "question.settled",
    "work_order.order_type",
    "work_order.priority",
}
"""Texts of which there are only some, or that stand for something else."""
WITHOUT_TEXTS = {"member", "migration", "owner", "owner_spending", "step_dependency", "step_order"}
_COLUMNS = """
    SELECT table_name, column_name, udt_name FROM information_schema.columns JOIN pg_tables ON
           tablename = table_name AND schemaname = table_schema WHERE table_schema = 'makima'"""
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Planted:
    """An owner with a row in every table. Its things are found by the names of the parameters that take them."""

    def __init__(self, rows: Rows, connection: psycopg.Connection, owner: str, *, directives: int = 1) -> None:
        self.rows, self.connection, self.owner, self.id = rows, connection, owner, rows.owner(owner)
        for _ in range(directives - 1):
            rows.directive("An earlier one", owner)
        self.directive = rows.directive("A job", owner, repository_url="https://github.com/acme/shop")
        self.step, task = rows.running_step(self.directive, "Running", daemon=f"{owner}-daemon")
        later = rows.step(self.directive, "Later", [self.step], description="d", files=["f"], labels=["l"])
        self.tasks = {"step": task} | {
            kind: rows.task(self.directive, kind, status="running", daemon=f"{owner}-daemon")
            for kind in ("plan", "verification")
        }
        self.order = rows.order(self.directive)
        rows.serve(later, self.order)
        self.question = rows.question(task, options=["yes"])
        rows.daemon(f"{owner}-daemon", owner)
        self.key = z85.encode(self.id.bytes * 2).decode()
        rows.daemon_key(self.key, f"{owner}-far", "asking", owner)
        self.person = f"{owner}-ada"
        self.token = rows.token(rows.member(self.person, "admin", owner), owner)
        (self.kept_token,) = rows.all("person_token", hash=hash_of(self.token))
        self._add_what_services_write(task)

    def _add_what_services_write(self, task: UUID) -> None:
        for statement, values in (
            ("INSERT INTO makima.attempt (task_id, number, agent) VALUES (%s, 1, 'a')", [task]),
            (
                "INSERT INTO makima.task_output (task_id, attempt, first_seq, last_seq, events)"
                """ VALUES (%s, 1, 0, 0, '["said"]')""",
                [task],
            ),
            ("INSERT INTO makima.task_message (id, task_id, text) VALUES (%s, %s, 't')", [new_id(), task]),
            ("INSERT INTO makima.goal_history (directive_id, goal) VALUES (%s, 'g')", [self.directive]),
            (
                "INSERT INTO makima.plan_request (id, directive_id, reason) VALUES (%s, %s, 'user')",
                [new_id(), self.directive],
            ),
            (
                "INSERT INTO makima.event (type, directive_id, body) VALUES ('directive.changed', %s, '{}')",
                [self.directive],
            ),
            (
                "INSERT INTO makima.event (type, body)"
                " VALUES ('member.changed', jsonb_build_object('owner', %s::text))",
                [self.owner],
            ),
            (
                "INSERT INTO makima.idempotency_key (owner_id, key, request) VALUES (%s, 'k', 'r')",
                [self.id],
            ),
        ):
            self.connection.execute(statement, values)

    def named(self) -> dict[str, str]:
        """What stands in an address or a body for each kind of thing."""
        token = self.kept_token
        (daemon,) = self.rows.all("daemon", owner_id=self.id)
        return {
            "directive": str(self.directive),
            "step": str(self.step),
            "order": str(self.order),
            "question": str(self.question),
            "task": str(self.tasks["step"]),
            "anything": str(self.tasks["step"]),
            "name": str(daemon["name"]),
            "fingerprint": fingerprint(self.key),
            "person": str(self.rows.one("person", token["person_id"])["name"]),
            "token": str(token["id"]),
        }


def mark_all(connection: psycopg.Connection) -> None:
    """Mark each text of every row that there is; what names an owner's things to others keeps being found by it."""
    marked: dict[str, list[sql.Composable]] = {}
    for table, column, kind in connection.execute(_COLUMNS).fetchall():
        value = _marked(kind, column)
        if value is not None and f"{table}.{column}" not in CHOSEN and table not in WITHOUT_TEXTS:
            marked.setdefault(table, []).append(sql.SQL("{} = {}").format(sql.Identifier(column), value))
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        for table, values in marked.items():
            pairs = sql.SQL(", ").join(values)
            connection.execute(sql.SQL("UPDATE makima.{} SET {}").format(sql.Identifier(table), pairs))


def _marked(kind: str, column: str) -> sql.Composable | None:
    name = sql.Identifier(column)
    mark = sql.Literal(f"{MARK}-{column}-")
    if kind == "text":
        return sql.SQL("{} || coalesce({}, '')").format(mark, name)
    if kind == "_text":
        return sql.SQL("ARRAY[{}::text]").format(mark)
    if kind == "jsonb" and column == "events":
        return sql.SQL("jsonb_build_array({}::text)").format(mark)
    if kind == "jsonb" and column in ("body", "payload"):
        return sql.SQL("{} || jsonb_build_object('reason', {}::text)").format(name, mark)
    return None


def tables(connection: psycopg.Connection) -> list[str]:
    """Every table."""
    found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'makima' ORDER BY 1").fetchall()
    return [name for (name,) in found]


def rows_with(connection: psycopg.Connection, words: Iterable[str], but: Iterable[str] = ()) -> dict[str, list[str]]:
    """The rows of each table in which one of some words stands, as text."""
    pattern = "|".join(map(re.escape, words))
    told = {}
    for table in set(tables(connection)) - set(but):
        statement = sql.SQL("SELECT t::text FROM makima.{} t WHERE t::text ~ %s ORDER BY 1").format(
            sql.Identifier(table)
        )
        told[table] = [text for (text,) in connection.execute(statement, [pattern]).fetchall()]
    return told


def ids_in(connection: psycopg.Connection) -> set[str]:
    """Every id that stands in any row."""
    return {found for rows in rows_with(connection, ["-"]).values() for row in rows for found in _UUID.findall(row)}


def ids_of(text: str) -> set[str]:
    """The ids in a text."""
    return set(_UUID.findall(text))
