"""A change that is asked for: one transaction, done once a key, on a directive that nobody else changes meanwhile.

The key is claimed in the transaction that does the work, and the answer kept in it: either both are there or neither.
A second request with the same key waits at the claim until the first one's transaction has ended.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, TypeVar
from uuid import UUID

import msgspec
from litestar import Response
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import HeaderParameter, QueryParameter

from services.gateway.access import Caller
from services.gateway.http.problems import AnsweredBefore, AnyRequest, VersionConflict
from services.gateway.rows.access import LIVE_TASK
from services.gateway.rows.directives import CHANGES_SINCE, LOCK, LockedDirective
from services.gateway.rows.keys import CLAIM_KEY, KEEP_ANSWER, KEPT_ANSWER
from services.gateway.versions import etag, refuse_unmatched
from shared.config import Settings
from shared.domain.statuses import DirectiveStatus
from shared.store.database import Database, UnitOfWork
from shared.store.statements import Asked, Command

_READ_WRITE = Command("gateway.read_write", "SET TRANSACTION READ WRITE")
A = TypeVar("A", bound=msgspec.Struct)
Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="Any text of the client's own, a new one each request. A request that is asked again with its key"
        " within a day is answered as before, and done once.",
        schema_extra={"minLength": 1, "maxLength": 200, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    ),
]
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="The ETag of the directive that the change is meant for: 412 when it is at another by now.",
        schema_extra={"pattern": '^(\\*|"[0-9]{1,9}")$'},
    ),
]
Version = Annotated[
    int | None,
    QueryParameter(
        ge=0,
        le=2**31 - 1,
        description="As If-Match, by the number: 409 when it is at another by now.",
        schema_extra={"minimum": 0},
    ),
]


class Transaction:
    """What a change does its work in: `unit` carries out statements, `answer` gives what is kept for the key."""

    def __init__(self, unit: UnitOfWork, change: Change) -> None:
        self.unit = unit
        self._change = change
        self.answered = False

    def answer(self, answered: A, location: str | None = None) -> Response[A]:
        """The answer, kept for whoever asks again. `location` is where a thing that was made is found."""
        headers = etag(answered) | ({"Location": location} if location else {})
        self._change.keep(self.unit, answered, headers)
        self.answered = True
        return Response(answered, headers=headers)


class DirectiveTransaction(Transaction):
    """The same on a directive, which is locked until it ends."""

    def __init__(self, unit: UnitOfWork, change: Change, directive: LockedDirective) -> None:
        super().__init__(unit, change)
        self.directive = directive


class Change:
    """A request that changes something: what it is done with."""

    def __init__(self, database: Database, caller: Caller, key: str | None, request: str) -> None:
        self._database = database
        self._caller = caller
        self._key = key
        self._request = request
        self._first: tuple[Asked[None], ...] = ()

    def even_when_the_disk_is_full(self, settings: Settings) -> None:
        """Have it written into the room that is kept for what a person asks to stop, where Postgres's disk is full."""
        if settings.postgres_url is None:
            self._first = (_READ_WRITE(),)

    @asynccontextmanager
    async def begin(self, point: str) -> AsyncIterator[Transaction]:
        """A transaction. `point` names its failpoints, the service and what it does. Raises AnsweredBefore."""
        async with self._database.unit_of_work(point) as unit:
            await self._claim(unit)
            begun = Transaction(unit, self)
            yield begun
            _refuse_unanswered(begun)

    def keep(self, unit: UnitOfWork, answered: msgspec.Struct, headers: dict[str, str]) -> None:
        """Keep the answer under the key, if there is one."""
        if self._key is not None:
            unit.execute(KEEP_ANSWER(owner=self._caller.owner, key=self._key, answer=answered, headers=headers))

    async def _claim(self, unit: UnitOfWork) -> None:
        """Raise AnsweredBefore when it was done before, HTTPException 422 when the key is another request's."""
        unit.by = self._caller.by
        unit.execute(*self._first)
        owner, key = self._caller.owner, self._key
        if key is None or await unit.fetch(CLAIM_KEY(owner=owner, key=key, request=self._request)):
            return
        kept = await unit.fetch_one(KEPT_ANSWER(owner=owner, key=key))
        if kept.request != self._request:
            raise HTTPException("this Idempotency-Key was used for another request; take a new one", status_code=422)
        raise AnsweredBefore(kept.answer, kept.headers)


class DirectiveChange(Change):
    """The same on one directive."""

    def __init__(
        self,
        database: Database,
        caller: Caller,
        key: str | None,
        request: str,
        if_match: str | None,
        version: int | None,
    ) -> None:
        super().__init__(database, caller, key, request)
        self._if_match = if_match
        self._version = version

    @asynccontextmanager
    async def begin_on(self, point: str, directive: UUID) -> AsyncIterator[DirectiveTransaction]:
        """A transaction on the owner's directive, locked before it is read.

        Raises AnsweredBefore, NotFoundException, and VersionConflict when it isn't at the version that was seen.
        """
        async with self._database.unit_of_work(point) as unit:
            await self._claim(unit)
            locked = await lock(unit, self._caller, directive)
            refuse_unmatched(self._if_match, locked)
            if self._version not in (None, locked.version):
                raise await _conflict(unit, self._version, locked)
            begun = DirectiveTransaction(unit, self, locked)
            yield begun
            _refuse_unanswered(begun)


async def lock(unit: UnitOfWork, caller: Caller, directive: UUID) -> LockedDirective:
    """The owner's directive, locked until the unit of work ends. Raises NotFoundException."""
    locked = await unit.fetch_first(LOCK(id=directive, owner=caller.owner))
    if locked is None:
        raise NotFoundException(f"no directive {directive}")
    return locked


async def refuse_ended(unit: UnitOfWork, caller: Caller) -> None:
    """Raise HTTPException 409 when the calling task ended before the directive was locked: its word comes too late."""
    if caller.task and not await unit.fetch(LIVE_TASK(task=caller.task, attempt=caller.attempt)):
        raise HTTPException("the token's task has ended", status_code=409)


def refuse_archived(directive: LockedDirective) -> None:
    """Raise HTTPException 409 for a directive that has ended for good."""
    if directive.status == DirectiveStatus.ARCHIVED:
        raise HTTPException("the directive is archived: nothing of it changes any more", status_code=409)


async def change(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    idempotency_key: Key = None,
) -> Change:
    """The dependency `change` of handlers. Raises HTTPException 422 when the key can't be one."""
    return Change(database, caller, _key(idempotency_key), await _told(request, caller))


async def directive_change(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    idempotency_key: Key = None,
    if_match: IfMatch = None,
    version: Version = None,
) -> DirectiveChange:
    """The dependency `directive_change` of handlers. Raises HTTPException 422 when the key can't be one."""
    told = await _told(request, caller)
    return DirectiveChange(database, caller, _key(idempotency_key), told, if_match, version)


def _key(key: str | None) -> str | None:
    if key is not None and not (key.isascii() and key.isprintable() and 1 <= len(key) <= 200):
        raise HTTPException("an Idempotency-Key has 1 to 200 printable characters of ASCII", status_code=422)
    return key


async def _told(request: AnyRequest, caller: Caller) -> str:
    """A hash of who asks for what."""
    head = f"{caller.task or caller.token} {request.method} {request.url.path}?{request.url.query}\n"
    return hashlib.sha256(head.encode() + await request.body()).hexdigest()


async def _conflict(unit: UnitOfWork, asked: int, locked: LockedDirective) -> VersionConflict:
    since = await unit.fetch(CHANGES_SINCE(id=locked.id, version=asked))
    what = [f"{', '.join(one.changed)} at {one.at:%H:%M:%S}" for one in since if one.changed]
    said = "; ".join([*what, f"it is {locked.status} now"])
    return VersionConflict(f"directive {locked.id}", asked, locked.version, said)


def _refuse_unanswered(begun: Transaction) -> None:
    """A route that keeps no answer is a fault of ours: nothing of it is committed."""
    if not begun.answered:
        raise RuntimeError("a change ended without an answer")
