"""Builders of rows, as earlier services would have left them; and a look at what is there."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from shared.domain.ids import new_id

OWNER = "default"
"""The owner whose rows are made when none is named: the one of the settings."""


class Rows:
    """Rows of one database. Every builder takes any column by name, and gives the row's id."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def owner(self, name: str = OWNER) -> UUID:
        """An owner by name, made when it isn't there."""
        insert = "INSERT INTO makima.owner (id, name) VALUES (%s, %s)"
        statement = f"{insert} ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id"
        row = self._connection.execute(statement, (new_id(), name)).fetchone()
        assert row is not None
        owner: UUID = row[0]
        return owner

    def directive(self, title: str = "A job", owner: str = OWNER, **columns: object) -> UUID:
        """An active directive on a repository."""
        values = {"status": "active", "goal": "Make it", "repository_url": "/srv/repository.git", **columns}
        return self._add("directive", title=title, owner_id=self.owner(owner), **values)

    def step(self, directive: UUID, name: str = "Step", depends_on: Iterable[UUID] = (), **columns: object) -> UUID:
        """A pending step."""
        step = self._add("step", directive_id=directive, name=name, **columns)
        for position, need in enumerate(depends_on):
            self._insert("step_dependency", step_id=step, depends_on=need, position=position)
        return step

    def task(self, directive: UUID, kind: str = "step", step: UUID | None = None, **columns: object) -> UUID:
        """A pending task. One that runs is given status and daemon, too."""
        owner = self.one("directive", directive)["owner_id"]
        values = {"name": kind, **columns}
        return self._add("task", directive_id=directive, owner_id=owner, kind=kind, step_id=step, **values)

    def running_step(
        self, directive: UUID, name: str = "Step", daemon: str = "d1", **columns: object
    ) -> tuple[UUID, UUID]:
        """A step that runs on a daemon; its id and its task's."""
        step = self.step(directive, name, status="running", **columns)
        task = self.task(directive, step=step, name=name, status="running", daemon=daemon, lease_until="2100-01-01")
        self._connection.execute("UPDATE makima.step SET task_id = %s WHERE id = %s", (task, step))
        return step, task

    def plan_request(self, directive: UUID, reason: str = "goal", **columns: object) -> UUID:
        """An unserved request."""
        return self._add("plan_request", directive_id=directive, reason=reason, **columns)

    def order(self, directive: UUID, title: str = "An order", **columns: object) -> UUID:
        """An open order that is linked to a directive."""
        owner = self.one("directive", directive)["owner_id"]
        return self._add("work_order", directive_id=directive, owner_id=owner, title=title, **columns)

    def serve(self, step: UUID, order: UUID, **columns: object) -> None:
        """A step serves an order."""
        self._insert("step_order", step_id=step, order_id=order, **columns)

    def question(self, task: UUID, text: str = "Really?", **columns: object) -> UUID:
        """An open question of a task's live attempt."""
        asking = self.one("task", task)
        values = {"directive_id": asking["directive_id"], "attempt": asking["attempt"], **columns}
        return self._add("question", task_id=task, text=text, **values)

    def daemon(self, name: str = "d1", owner: str = OWNER, capacity: int = 4, **columns: object) -> None:
        """A connected daemon, in the place of an earlier one of its name."""
        belongs = self.owner(owner)
        self._connection.execute("DELETE FROM makima.daemon WHERE owner_id = %s AND name = %s", (belongs, name))
        self._insert("daemon", owner_id=belongs, name=name, capacity=capacity, connected=True, **columns)

    def disconnect(self, name: str) -> None:
        """A daemon goes away."""
        self._connection.execute("UPDATE makima.daemon SET connected = false WHERE name = %s", (name,))

    def daemon_key(self, key: str, name: str, status: str, owner: str = OWNER) -> None:
        """A public key of a daemon on another machine."""
        self._insert("daemon_key", public_key=key, owner_id=self.owner(owner), name=name, status=status)

    def member(self, name: str = "ada", role: str = "admin", owner: str = OWNER) -> UUID:
        """A person, who has this role in an owner; the person's id."""
        insert = "INSERT INTO makima.person (id, name) VALUES (%s, %s)"
        statement = f"{insert} ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id"
        row = self._connection.execute(statement, (new_id(), name)).fetchone()
        assert row is not None
        person: UUID = row[0]
        self._insert("member", owner_id=self.owner(owner), person_id=person, role=role)
        return person

    def token(self, person: UUID, owner: str = OWNER, role: str = "admin", **columns: object) -> str:
        """A token of a member."""
        token = f"mkt_{secrets.token_hex(24)}"
        values = {"name": "a laptop", "hash": hashlib.sha256(token.encode()).hexdigest(), "role": role, **columns}
        self._add("person_token", owner_id=self.owner(owner), person_id=person, **values)
        return token

    def change(self, table: str, row: UUID, **columns: object) -> None:
        """Set columns of a row."""
        pairs = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in columns)
        statement = sql.SQL("UPDATE makima.{} SET {} WHERE id = %s").format(sql.Identifier(table), pairs)
        self._connection.execute(statement, [*columns.values(), row])

    def put(self, table: str, row: UUID, **columns: object) -> None:
        """Set columns of a row though no way leads there from where it stands: nothing is checked."""
        with self._connection.transaction():
            self._connection.execute("SET LOCAL session_replication_role = replica")
            self.change(table, row, **columns)

    def lead(self, table: str, row: UUID, *statuses: str, **columns: object) -> None:
        """Lead a row through statuses, since there is not always a way at once; columns are set with the last."""
        for status in statuses[:-1]:
            self.change(table, row, status=status)
        self.change(table, row, status=statuses[-1], **columns)

    def one(self, table: str, row: UUID) -> dict[str, Any]:
        """The row of this id. Fails when it isn't there."""
        (found,) = self.all(table, id=row)
        return found

    def all(self, table: str, **columns: object) -> list[dict[str, Any]]:
        """The rows that have these values, by their first column: entries of the audit log as they were written."""
        wanted = sql.SQL(" AND ").join(
            [sql.SQL("{} IS NOT DISTINCT FROM %s").format(sql.Identifier(n)) for n in columns] or [sql.SQL("true")]
        )
        statement = sql.SQL("SELECT * FROM makima.{} WHERE {} ORDER BY 1").format(sql.Identifier(table), wanted)
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, list(columns.values())).fetchall()

    def _add(self, table: str, **columns: object) -> UUID:
        made = new_id()
        self._insert(table, id=made, **columns)
        return made

    def _insert(self, table: str, **columns: object) -> None:
        names = sql.SQL(", ").join(sql.Identifier(name) for name in columns)
        holes = sql.SQL(", ").join(sql.Placeholder() for _ in columns)
        statement = sql.SQL("INSERT INTO makima.{} ({}) VALUES ({})").format(sql.Identifier(table), names, holes)
        self._connection.execute(statement, list(columns.values()))
