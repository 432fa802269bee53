"""One connection to Postgres: statements prepared once, sent together, answered in one round trip.

psycopg's cursors and its pipeline cost more processor time than most of our statements take on the server; so a
psycopg connection's own libpq handle is used, by its public functions. Connecting, the pool, authentication, notices
and errors stay psycopg's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import psycopg
import structlog
from psycopg import AsyncConnection, OperationalError, abc, errors
from psycopg.adapt import Buffer, Transformer
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.rows import DictRow
from psycopg.waiting import Ready, Wait

from shared.store.statements import Asked, Command, Statement
from shared.store.values import Adapters, encoder, loaded_as, maker

log = structlog.get_logger()

T = TypeVar("T")
Send = Callable[[], None]
Exchange = Generator[Wait, Ready | int, T]
"""What goes on over a connection: yields what to wait for (psycopg's Wait), is sent what the socket is ready for."""
BEGIN = Command("begin", "BEGIN")()
COMMIT = Command("commit", "COMMIT")()
ROLLBACK = Command("rollback", "ROLLBACK")()
GIVE_UP_SECONDS = 2.0
"""So long a server is asked to give up what nobody waits for any more."""
_ADAPTERS = Adapters()


class _Prepared:
    """A statement as one connection knows it: its name there, how its parameters are sent and its rows read."""

    def __init__(self, name: bytes, statement: Statement[Any], described: PGresult) -> None:
        types = [described.param_type(n) for n in range(described.nparams)]
        columns = [((described.fname(n) or b"").decode(), described.ftype(n)) for n in range(described.nfields)]
        self.name = name
        self.statement = statement
        self.formats = [Format.BINARY] * len(types)
        self._encoders = [encoder(oid) for oid in types]
        self._loaders = [loaded_as(oid) for _, oid in columns]
        self._make = None if statement.row is None else maker(statement.row, tuple(columns))  # type: ignore[arg-type]

    def encoded(self, parameters: Sequence[object]) -> list[Buffer | None]:
        """Parameters as they are sent. Raises DataError for what can't be one."""
        encoded: list[Buffer | None] = []
        for encode, value in zip(self._encoders, parameters, strict=True):
            try:
                encoded.append(None if value is None else encode(value))
            except Exception as error:  # whatever it is: the value is no such parameter
                name = self.statement.parameters[len(encoded)]
                raise psycopg.DataError(f"{name} of {self.statement.name}: {error}") from error
        return encoded

    def rows(self, transformer: abc.Transformer, result: PGresult) -> list[Any]:
        """What the rows of a result become. Raises msgspec.ValidationError for what doesn't fit its Struct."""
        if self._make is None or not result.ntuples:
            return []
        transformer.set_pgresult(result, set_loaders=False)
        transformer.set_loader_types(self._loaders, Format.BINARY)
        try:
            return transformer.load_rows(0, result.ntuples, self._make)
        except ValueError as error:
            error.add_note(f"in a row of {self.statement.name}")
            raise
        finally:
            transformer.set_pgresult(None)


class Connection(AsyncConnection[DictRow]):
    """A connection that a service's statements go over. Whatever ends an exchange half-way closes it."""

    def __init__(self, *given: Any, **more: Any) -> None:  # noqa: ANN401 - what psycopg makes it with
        super().__init__(*given, **more)
        self._known: dict[Statement[Any], _Prepared] = {}
        self._transformer: abc.Transformer = Transformer(_ADAPTERS)

    async def exchange(self, asked: Sequence[Asked[Any]]) -> list[list[Any]]:
        """Carry out statements one after another, in one round trip; the rows of each.

        Outside of a transaction they are one of their own. The first that fails raises psycopg's error for its
        SQLSTATE, and those after it aren't carried out.
        """
        if asked[0] is BEGIN and asked[-1] is COMMIT:  # what is sent in one go needs neither
            return [[], *await self.exchange(asked[1:-1]), []]
        if unknown := [one.statement for one in asked if one.statement not in self._known]:
            await self._prepare(list(dict.fromkeys(unknown)))
        chosen = [self._known[one.statement] for one in asked]
        encoded = [known.encoded(one.parameters) for known, one in zip(chosen, asked, strict=True)]
        results = await self._round_trip(
            [
                partial(self.pgconn.send_query_prepared, known.name, values, known.formats, result_format=Format.BINARY)
                for known, values in zip(chosen, encoded, strict=True)
            ]
        )
        return [known.rows(self._transformer, result) for known, result in zip(chosen, results, strict=True)]

    async def rollback(self) -> None:
        """Take back what was begun. psycopg's own would forget what is prepared as well."""
        if self.pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            await self.exchange([ROLLBACK])

    async def _prepare(self, statements: Sequence[Statement[Any]]) -> None:
        names = [f"{one.name} {len(self._known) + n}".encode() for n, one in enumerate(statements)]
        sends: list[Send] = []
        for name, one in zip(names, statements, strict=True):
            sends.append(partial(self.pgconn.send_prepare, name, one.text.encode()))
            sends.append(partial(self.pgconn.send_describe_prepared, name))
        described = (await self._round_trip(sends))[1::2]
        for name, one, result in zip(names, statements, described, strict=True):
            self._known[one] = _Prepared(name, one, result)

    async def _round_trip(self, sends: Sequence[Send]) -> list[PGresult]:
        answers = await self.drive(_round_trip(self.pgconn, sends))
        for answer in answers:
            if answer.status == ExecStatus.FATAL_ERROR:
                error = errors.error_from_result(answer)
                if isinstance(error, errors.FeatureNotSupported):  # a plan from before its tables were changed
                    self.pgconn.finish()
                raise error
        return answers

    async def drive(self, exchange: Exchange[T]) -> T:
        """Carry an exchange to its end. What ends it earlier closes the connection; a cancelled server is told so."""
        try:
            return await _driven(exchange, self.pgconn.socket)
        except asyncio.CancelledError:
            try:
                await self.cancel_safe(timeout=GIVE_UP_SECONDS)
            except psycopg.Error as error:
                log.warning("a statement that nobody waits for may go on", error=str(error).strip())
            finally:
                self.pgconn.finish()
            raise
        except BaseException:  # the exchange stands half-way: what follows on it would be another's answer
            self.pgconn.finish()
            raise


def _round_trip(pgconn: PGconn, sends: Iterable[Send]) -> Exchange[list[PGresult]]:
    """Send messages in one pipeline and read an answer to each. After one that failed the others say only that."""
    pgconn.enter_pipeline_mode()
    for send in sends:
        send()
    pgconn.pipeline_sync()
    while pgconn.flush():
        if (yield Wait.RW) & Ready.R:
            pgconn.consume_input()
    answers: list[PGresult] = []
    while True:
        try:
            while pgconn.is_busy():
                yield Wait.R
                pgconn.consume_input()
            answer = pgconn.get_result()
            if answer is None and pgconn.status == ConnStatus.BAD:
                raise OperationalError(pgconn.get_error_message())
        except OperationalError:
            if any(one.status == ExecStatus.FATAL_ERROR for one in answers):
                return answers  # the server said why before it went
            raise
        if answer is None:
            continue
        if answer.status == ExecStatus.PIPELINE_SYNC:
            pgconn.exit_pipeline_mode()
            return answers
        answers.append(answer)


async def _driven(exchange: Exchange[T], socket: int) -> T:
    loop = asyncio.get_running_loop()
    try:
        wanted = next(exchange)
        while True:
            ready: asyncio.Future[int] = loop.create_future()
            if wanted & Wait.R:
                loop.add_reader(socket, _set, ready, Ready.R)
            if wanted & Wait.W:
                loop.add_writer(socket, _set, ready, Ready.W)
            try:
                got = await ready
            finally:
                loop.remove_reader(socket)
                if wanted & Wait.W:
                    loop.remove_writer(socket)
            wanted = exchange.send(got)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def _set(ready: asyncio.Future[int], what: int) -> None:
    if not ready.done():
        ready.set_result(what)
