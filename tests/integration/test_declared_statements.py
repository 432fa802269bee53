"""Every statement of every service, prepared by a real Postgres: what it takes and gives is what its code says."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import msgspec
import psycopg
import pytest
from msgspec import inspect as shapes
from psycopg.pq.abc import PGresult

from shared.store import database
from shared.store.statements import Query, Statement, statements
from shared.store.values import encoder
from tests import postgres

SERVICES = ("executor", "monitor", "planner", "completer", "gateway.rows")
NEVER_NULL: Mapping[str, str] = {
    "monitor.cancelled.cancel_asked": "it asks for those of which that is asked",
    "monitor.expire_questions.settled": "it sets it",
}
"""Columns that may be NULL in their table and can't be in a statement's rows, and why."""
NODES: Mapping[str, tuple[type[shapes.Type], ...]] = {
    "bool": (shapes.BoolType,),
    "int2": (shapes.IntType,),
    "int4": (shapes.IntType,),
    "int8": (shapes.IntType,),
    "float8": (shapes.FloatType,),
    "numeric": (shapes.FloatType, shapes.DecimalType),
    "text": (shapes.StrType, shapes.EnumType, shapes.LiteralType),
    "uuid": (shapes.UUIDType,),
    "timestamptz": (shapes.DateTimeType,),
}
"""What a field may be declared as for a column of a type."""


def modules(service: str) -> Iterator[ModuleType]:
    """The modules of a service."""
    package = importlib.import_module(f"services.{service}")
    for found in pkgutil.iter_modules(package.__path__, f"services.{service}."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def declared(service: str) -> dict[str, Statement[Any]]:
    """The statements that a service's code declares, by their names."""
    values = [value for module in modules(service) for value in vars(module).values()]
    return {value.name.partition(".")[2]: value for value in values if isinstance(value, Statement)}


DECLARED = {service: declared(service) for service in SERVICES}
ALL = [
    DECLARED[service].get(name) or Statement(f"{service}.{name}", text)
    for service in SERVICES
    for name, text in statements(f"services.{service}").items()
] + [value for value in vars(database).values() if isinstance(value, Statement)]
CALLS = [module for service in SERVICES for module in modules(service)]


@pytest.fixture(scope="module")
def connection() -> Iterator[psycopg.Connection]:
    """A connection to a migrated database."""
    with postgres.running() as server, server.connect(server.fresh()) as connected:
        yield connected


def described(connection: psycopg.Connection, statement: Statement[Any]) -> PGresult:
    """What Postgres says of a statement. Raises what it says against it."""
    name = b""  # the one that the next takes the place of
    for result in (
        connection.pgconn.prepare(name, statement.text.encode()),
        described := connection.pgconn.describe_prepared(name),
    ):
        if result.error_message:
            raise psycopg.errors.error_from_result(result)
    return described


@pytest.mark.parametrize("statement", ALL, ids=lambda s: s.name)
def test_a_statement_is_one_and_takes_what_can_be_sent(
    connection: psycopg.Connection, statement: Statement[Any]
) -> None:
    found = described(connection, statement)
    assert found.nparams == len(statement.parameters)
    for number in range(found.nparams):
        encoder(found.param_type(number))
        assert not is_array_of_its_own(connection, found.param_type(number))


@pytest.mark.parametrize("statement", [s for s in ALL if isinstance(s, Query)], ids=lambda s: s.name)
def test_its_columns_are_the_fields_of_its_struct(connection: psycopg.Connection, statement: Query[Any]) -> None:
    found = described(connection, statement)
    names = [(found.fname(n) or b"").decode() for n in range(found.nfields)]
    if isinstance(statement.row, type) and issubclass(statement.row, msgspec.Struct):
        fields = {field.name: field.type for field in msgspec.structs.fields(statement.row)}
        assert sorted(names) == sorted(fields)
    else:
        assert len(names) == 1
        fields = {names[0]: statement.row}
    wrong = [
        problem
        for number, name in enumerate(names)
        for problem in mismatches(connection, statement, found, number, fields[name])
    ]
    assert wrong == []


def mismatches(
    connection: psycopg.Connection, statement: Query[Any], found: PGresult, number: int, kind: Any
) -> Iterator[str]:
    """What a column is, and its field isn't."""
    name = (found.fname(number) or b"").decode()
    node = shapes.type_info(kind)
    choices = node.types if isinstance(node, shapes.UnionType) else (node,)
    may_be_null = any(isinstance(c, shapes.NoneType | shapes.AnyType) for c in choices)
    kept = [c for c in choices if not isinstance(c, shapes.NoneType)]
    if not all(fits(connection, found.ftype(number), c) for c in kept):
        yield f"{name} is {type_name(connection, found.ftype(number))}, not {kind}"
    not_null = is_not_null(connection, found.ftable(number), found.ftablecol(number))
    if not_null is False and not may_be_null and f"{statement.name}.{name}" not in NEVER_NULL:
        yield f"{name} may be NULL, which {kind} is not"
    if not_null and may_be_null and " LEFT JOIN " not in statement.text and not isinstance(node, shapes.AnyType):
        yield f"{name} is never NULL, which {kind} may be"


def fits(connection: psycopg.Connection, oid: int, node: shapes.Type) -> bool:
    """Whether values of a type can become this."""
    kind, name, element, labels = connection.execute(
        "SELECT t.typtype, t.typname, t.typelem, ARRAY(SELECT enumlabel::text FROM pg_enum WHERE enumtypid = t.oid)"
        "  FROM pg_type t WHERE t.oid = %s",
        (oid,),
    ).fetchone() or ("", "", 0, [])
    if isinstance(node, shapes.AnyType) or name in ("json", "jsonb", "_json", "_jsonb"):
        return True
    if kind == "e":
        if isinstance(node, shapes.EnumType):
            return {str(member) for member in node.cls} == set(labels)
        if isinstance(node, shapes.LiteralType):
            return set(node.values) == set(labels)
        return isinstance(node, shapes.StrType)
    if is_array_of_its_own(connection, oid):
        return False
    if element and name.startswith("_"):
        collections = (shapes.ListType, shapes.VarTupleType, shapes.SetType, shapes.FrozenSetType)
        return isinstance(node, collections) and all(
            isinstance(one, shapes.NoneType) or fits(connection, element, one)
            for one in (node.item_type.types if isinstance(node.item_type, shapes.UnionType) else (node.item_type,))
        )
    return isinstance(node, NODES.get(name, ()))


def is_array_of_its_own(connection: psycopg.Connection, oid: int) -> bool:
    """Whether this is an array of one of the database's own types, which can neither be sent nor loaded."""
    row = connection.execute(
        "SELECT FROM pg_type t WHERE t.oid = %s AND t.oid >= 16384 AND t.typelem <> 0", (oid,)
    ).fetchone()
    return row is not None


def type_name(connection: psycopg.Connection, oid: int) -> str:
    row = connection.execute("SELECT format_type(%s, NULL)", (oid,)).fetchone()
    assert row is not None
    return str(row[0])


def is_not_null(connection: psycopg.Connection, table: int, column: int) -> bool | None:
    """Whether a table's column is NOT NULL; None for what is no table's column."""
    row = connection.execute(
        "SELECT a.attnotnull FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relkind = 'r' AND a.attrelid = %s AND a.attnum = %s",
        (table, column),
    ).fetchone()
    return row and bool(row[0])


@pytest.mark.parametrize("module", CALLS, ids=lambda m: m.__name__)
def test_whoever_asks_a_statement_gives_its_parameters(module: ModuleType) -> None:
    wrong = []
    for call in ast.walk(ast.parse(inspect.getsource(module))):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name | ast.Attribute):
            continue
        asked = resolved(module, call.func)
        if not isinstance(asked, Statement) or any(k.arg is None for k in call.keywords):
            continue
        given = sorted(k.arg for k in call.keywords if k.arg)
        if call.args or given != sorted(asked.parameters):
            wrong.append(f"line {call.lineno}: {asked.name} takes {asked.parameters}, not {given}")
    assert wrong == []


def resolved(module: ModuleType, expression: ast.expr) -> object:
    """What a name or a dotted name stands for in a module; None for what isn't a module's."""
    if isinstance(expression, ast.Name):
        return getattr(module, expression.id, None)
    if isinstance(expression, ast.Attribute):
        owner = resolved(module, expression.value)
        return getattr(owner, expression.attr, None) if isinstance(owner, ModuleType) else None
    return None


def test_a_mismatch_is_found(connection: psycopg.Connection) -> None:
    class Row(msgspec.Struct):
        id: str
        status: int
        pause_reason: str
        title: str | None
        left_out: list[str]

    text = "SELECT id, status, pause_reason, title, left_out FROM makima.directive"
    wrong = Query("wrong", text, Row)
    found = described(connection, wrong)
    types = [field.type for field in msgspec.structs.fields(Row)]
    problems = [p for number, kind in enumerate(types) for p in mismatches(connection, wrong, found, number, kind)]
    assert [p.split()[0] for p in problems] == ["id", "status", "pause_reason", "title", "left_out"]
