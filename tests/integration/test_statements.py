"""Typed statements on a real Postgres: values there and back, one round trip, errors, a connection that is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from psycopg import errors

from shared.messages.events import DirectiveChanged
from shared.store.database import Database, connect
from shared.store.statements import Command, Query
from tests import postgres
from tests.contract.rows import Rows

T = TypeVar("T")


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Postgres]:
    """A server for the module."""
    with postgres.running() as running:
        yield running


@pytest.fixture
def url(server: postgres.Postgres) -> str:
    """A migrated database."""
    return server.url(server.fresh())


def run(url: str, do: Callable[[Database], Awaitable[T]]) -> T:
    async def connected() -> T:
        async with connect(url, most=1) as database:
            return await do(database)

    return asyncio.run(connected())


class Colour(StrEnum):
    RED = "red"


class Point(msgspec.Struct, frozen=True):
    x: int


class Everything(msgspec.Struct, frozen=True, kw_only=True):
    """A column of every type that statements use."""

    id: UUID
    ids: tuple[UUID, ...]
    name: str
    names: list[str | None]
    colour: Colour
    small: int
    number: int
    real: float
    amount: float
    exact: Decimal
    at: datetime
    yes: bool
    nothing: str | None
    point: Point
    points: tuple[Point, ...]
    several: tuple[Point, ...]


EVERYTHING = Query(
    "everything",
    """
    SELECT %(id)s::uuid AS id, %(ids)s::uuid[] AS ids, %(name)s::text AS name, %(names)s::text[] AS names,
           %(colour)s::text AS colour, %(small)s::integer AS small, %(number)s::bigint AS number,
           %(real)s::float AS real, %(amount)s::numeric AS amount, %(exact)s::numeric AS exact,
           %(at)s::timestamptz AS at, %(yes)s::boolean AS yes, %(nothing)s::text AS nothing, %(point)s::jsonb AS point,
           %(points)s::jsonb AS points, %(several)s::jsonb[] AS several
    """,
    Everything,
)


def test_every_type_goes_there_and_back(url: str) -> None:
    sent = Everything(
        id=uuid4(),
        ids=(uuid4(), uuid4()),
        name='ä "quoted" \\ 漢',
        names=["a", None, "{,}"],
        colour=Colour.RED,
        small=-(2**31),
        number=2**62,
        real=-0.1,
        amount=12.25,
        exact=Decimal("1.500"),
        at=datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        yes=True,
        nothing=None,
        point=Point(1),
        points=(Point(2), Point(3)),
        several=(Point(4),),
    )
    assert run(url, lambda d: d.fetch(EVERYTHING(**msgspec.structs.asdict(sent)))) == [sent]


@pytest.mark.parametrize(
    ("name", "value"),
    [("small", 2**31), ("id", "no uuid"), ("ids", "text"), ("at", datetime(2030, 1, 1)), ("real", "1")],
)
def test_a_value_that_does_not_fit_is_refused_by_name_and_nothing_is_lost_by_it(
    url: str, name: str, value: object
) -> None:
    async def ask(database: Database) -> None:
        given = dict.fromkeys(EVERYTHING.parameters) | {name: value}
        with pytest.raises(psycopg.DataError, match=f"{name} of everything"):
            await database.fetch(EVERYTHING(**given))
        assert await database.fetch(PID()) == pids

    async def both(database: Database) -> None:
        pids.extend(await database.fetch(PID()))
        await ask(database)

    pids: list[int] = []
    run(url, both)


PID = Query("pid", "SELECT pg_backend_pid()", int)
NULL = Query("null", "SELECT NULL::text AS x", Point)
SLEEP = Command("sleep", "SELECT pg_sleep(%(seconds)s)")
EXISTS = Query("exists", "SELECT count(*) FROM makima.owner WHERE name = %(name)s", int)
ADD = Command("add", "INSERT INTO makima.owner (id, name) VALUES (%(id)s, %(name)s)")
DIVIDE = Query("divide", "SELECT 1 / %(by)s::integer", int)
SEVERED = Command("severed", "SELECT pg_terminate_backend(pg_backend_pid())")


def test_a_null_where_none_may_be_is_an_error_that_names_the_statement(url: str) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        run(url, lambda d: d.fetch(NULL()))
    assert "in a row of null" in raised.value.__notes__


def test_parameters_are_given_by_name_and_completely() -> None:
    with pytest.raises(TypeError, match="add takes id, name; not name"):
        ADD(name="x")
    with pytest.raises(TypeError, match="pid takes nothing; not x"):
        PID(x=1)


def test_more_than_a_socket_takes_at_once_goes_through(url: str) -> None:
    large = Query("large", "SELECT %(text)s::text || 'x'", str)
    text = "0123456789" * 1_000_000
    assert run(url, lambda d: d.fetch_all(large(text=text), large(text=text))) == ([text + "x"], [text + "x"])


@asynccontextmanager
async def counted(url: str) -> AsyncIterator[tuple[Database, list[int]]]:
    """A database, and the statements of each round trip on it."""
    trips: list[int] = []
    async with connect(url, most=1) as database:
        async with database._pool.connection() as connection:
            drive = connection.drive  # type: ignore[attr-defined]

        async def counting(exchange: Any) -> Any:
            answers = await drive(exchange)
            trips.append(len(answers))
            return answers

        connection.drive = counting  # type: ignore[attr-defined]
        yield database, trips


def test_a_unit_of_work_takes_as_few_round_trips_as_it_can(url: str) -> None:
    async def count() -> dict[str, list[int]]:
        found = {}
        async with counted(url) as (database, trips):
            for turn in ("prepares", "counts"):
                async with database.unit_of_work("test") as unit:
                    unit.execute(ADD(id=uuid4(), name=f"{turn} a"))
                    unit.record(DirectiveChanged(directive=uuid4(), status="idle"))
                found["commands and events"] = trips.copy()
                trips.clear()
                async with database.unit_of_work("test") as unit:
                    assert await unit.fetch_last(EXISTS(name=f"{turn} a")) == [1]
                found["one statement"] = trips.copy()
                trips.clear()
                async with database.unit_of_work("test") as unit:
                    await unit.fetch(EXISTS(name=f"{turn} a"))
                    unit.execute(ADD(id=uuid4(), name=f"{turn} b"))
                    await unit.fetch(EXISTS(name=f"{turn} b"))
                found["three"] = trips.copy()
                trips.clear()
                async with database.unit_of_work("test"):
                    pass
                found["nothing"] = trips.copy()
        return found

    assert asyncio.run(count()) == {"commands and events": [2], "one statement": [1], "three": [2, 2, 1], "nothing": []}


@pytest.mark.parametrize("caught", [False, True])
def test_what_fails_takes_back_all_of_its_unit_of_work_and_keeps_its_connection(url: str, caught: bool) -> None:
    async def fail(database: Database) -> None:
        before = await database.fetch_one(PID())
        with pytest.raises(RuntimeError if caught else errors.DivisionByZero) as raised:
            async with database.unit_of_work("test") as unit:
                await unit.fetch_all(ADD(id=uuid4(), name="x"), EXISTS(name="x"))
                try:
                    await unit.fetch(DIVIDE(by=0))
                except errors.DivisionByZero as error:
                    assert error.sqlstate == "22012"
                    if not caught:
                        raise
        assert not caught or "a statement of it failed" in str(raised.value)
        assert await database.fetch_one(EXISTS(name="x")) == 0
        assert await database.fetch_one(PID()) == before

    run(url, fail)


def test_what_a_command_raises_is_raised_with_the_commit_and_nothing_is_kept(url: str) -> None:
    async def fail(database: Database) -> None:
        with pytest.raises(errors.UniqueViolation):
            async with database.unit_of_work("test") as unit:
                unit.execute(ADD(id=uuid4(), name="x"), ADD(id=uuid4(), name="x"))
        assert await database.fetch_one(EXISTS(name="x")) == 0

    run(url, fail)


def test_a_cancelled_exchange_ends_on_the_server_and_its_connection_is_not_used_again(url: str) -> None:
    async def cancel(database: Database) -> None:
        before = await database.fetch_one(PID())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), database.unit_of_work("test") as unit:
                unit.execute(ADD(id=uuid4(), name="x"))
                await unit.fetch(SLEEP(seconds=60.0))
        assert await database.fetch_one(EXISTS(name="x")) == 0
        assert await database.fetch_one(PID()) != before
        async with asyncio.timeout(10):
            while await database.fetch_one(ALIVE(pid=before)):
                await asyncio.sleep(0.01)

    run(url, cancel)


ALIVE = Query("alive", "SELECT count(*) FROM pg_stat_activity WHERE pid = %(pid)s::integer", int)


@pytest.mark.parametrize("before_it", [0, 1])
def test_a_server_that_goes_mid_exchange_raises_what_it_said_and_the_next_is_served(url: str, before_it: int) -> None:
    async def sever(database: Database) -> None:
        before = await database.fetch_one(PID())
        with pytest.raises(errors.AdminShutdown):
            await database.fetch_all(*[SLEEP(seconds=0.0)] * before_it, SEVERED(), SLEEP(seconds=0.0))
        assert await database.fetch_one(PID()) != before

    run(url, sever)


def test_tables_that_change_under_a_prepared_statement_cost_one_error(server: postgres.Postgres) -> None:
    name = server.fresh()
    star = Query("star", "SELECT * FROM public.changing", int)

    async def change(database: Database) -> None:
        assert await database.fetch(star()) == []
        with server.connect(name) as connection:
            connection.execute("ALTER TABLE public.changing ALTER a TYPE text")
        with pytest.raises(errors.FeatureNotSupported):
            await database.fetch(star())
        assert await database.fetch(star()) == []

    with server.connect(name) as connection:
        connection.execute("CREATE TABLE public.changing (a integer)")
    run(server.url(name), change)


def test_an_error_at_the_commit_itself_is_raised(server: postgres.Postgres) -> None:
    name = server.fresh()
    with server.connect(name) as connection:
        Rows(connection)
        connection.execute("CREATE TABLE public.late (a integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    insert = Command("insert", "INSERT INTO public.late VALUES (%(a)s)")
    late = Query("late", "SELECT count(*) FROM public.late", int)

    async def fail(database: Database) -> None:
        before = await database.fetch_one(PID())
        with pytest.raises(errors.UniqueViolation):
            async with database.unit_of_work("test") as unit:
                unit.execute(insert(a=1), insert(a=1))
        with pytest.raises(errors.UniqueViolation):
            async with database.unit_of_work("test") as unit:
                await unit.fetch_all(insert(a=1), insert(a=1))
        assert await database.fetch_one(late()) == 0
        assert await database.fetch_one(PID()) == before

    run(server.url(name), fail)


CUT = Command("cut", "SELECT pg_terminate_backend(%(pid)s::integer)")


def test_the_connection_at_hand_is_used_again_and_a_second_use_at_the_time_gets_another(url: str) -> None:
    async def ask() -> None:
        async with connect(url, most=2) as database:
            first = await database.fetch_one(PID())
            async with database.unit_of_work("test") as unit:
                assert await unit.fetch_one(PID()) == first
                second = await database.fetch_one(PID())
                assert second != first
            assert await database.fetch_one(PID()) in (first, second)

    asyncio.run(ask())


def test_a_connection_at_hand_that_was_cut_off_fails_once_and_is_replaced(url: str) -> None:
    async def ask() -> None:
        async with connect(url, most=2) as database:
            mine = await database.fetch_one(PID())
            async with connect(url, most=1) as other:
                await other.fetch(CUT(pid=mine))
            with pytest.raises(psycopg.OperationalError):
                await database.fetch_one(PID())
            assert await database.fetch_one(PID()) != mine

    asyncio.run(ask())


def test_what_a_failed_unit_of_work_began_is_taken_back_before_its_connection_is_used_again(url: str) -> None:
    async def ask() -> None:
        async with connect(url, most=1) as database:
            with pytest.raises(LookupError):
                async with database.unit_of_work("test") as unit:
                    unit.execute(ADD(id=uuid4(), name="taken back"))
                    await unit.fetch(PID())
                    raise LookupError
            assert await database.fetch_one(EXISTS(name="taken back")) == 0

    asyncio.run(ask())


def test_whoever_waits_for_a_connection_gets_the_one_that_comes_back(url: str) -> None:
    async def ask() -> None:
        async with connect(url, most=1) as database:
            async with database.unit_of_work("test") as unit:
                await unit.fetch(PID())
                waiting = asyncio.create_task(database.fetch_one(PID()))
                while not database._pool._wanting:  # type: ignore[attr-defined]
                    await asyncio.sleep(0)
            assert await asyncio.wait_for(waiting, 5)

    asyncio.run(ask())
