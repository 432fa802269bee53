"""Questions: asked by an agent in mid-task, answered by a person; an event wakes whoever waits for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException, PermissionDeniedException
from litestar.params import FromPath, FromQuery, JSONBody

from services.gateway.access import SQL, Caller
from services.gateway.answers import Accepted, answer, answers
from services.gateway.changes import refuse_bad_text
from services.gateway.idempotency import Once
from shared.bus.bus import Bus
from shared.domain.ids import new_id
from shared.domain.masking import Mask
from shared.messages.events import QuestionAnswered, QuestionAsked
from shared.store.database import Database

LONGEST_WAIT_SECONDS = 25.0
"""Of one request that waits for an answer; it is asked again. A lost event costs so much at most."""


class NewQuestion(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/questions. After `timeout_seconds` the answer is `default`; without one, there is none."""

    text: Annotated[str, msgspec.Meta(max_length=20_000)]
    options: Annotated[list[Annotated[str, msgspec.Meta(max_length=1000)]], msgspec.Meta(max_length=50)] = []
    default: Annotated[str, msgspec.Meta(max_length=20_000)] | None = None
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=30 * 24 * 3600)] | None = None


class NewAnswer(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/questions/{id}/answer."""

    answer: Annotated[str, msgspec.Meta(max_length=100_000)]


class QuestionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A question. `settled` is None while it is open, else `answered`, `default` or `expired`."""

    id: UUID
    directive_id: UUID
    title: str
    """The directive's."""
    task_id: UUID
    task_name: str
    text: str
    options: list[str]
    default_answer: str | None
    expires_at: datetime | None
    answer: str | None
    settled: str | None
    asked_at: datetime
    open: bool
    """Somebody still waits for the answer."""


class Answers:
    """Wakes whoever waits for an answer. Listens to the bus while anybody does, and not otherwise."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[UUID, list[asyncio.Event]] = {}
        self._hearing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def waiting(self, question: UUID) -> AsyncIterator[asyncio.Event]:
        """An event that is set when the question was settled, by whichever gateway or monitor."""
        woken = asyncio.Event()
        self._waiting.setdefault(question, []).append(woken)
        if self._hearing is None or self._hearing.done():
            self._hearing = asyncio.create_task(self._hear())
        try:
            yield woken
        finally:
            self._waiting[question].remove(woken)
            if not self._waiting[question]:
                del self._waiting[question]
            if not self._waiting:
                self._hearing.cancel()
                self._hearing = None

    def wake(self, question: UUID) -> None:
        """The question was settled here."""
        for woken in self._waiting.get(question, ()):
            woken.set()

    async def _hear(self) -> None:
        subscriber = self._bus.subscriber([QuestionAnswered])
        try:
            while True:
                event = await subscriber.receive()
                if isinstance(event, QuestionAnswered) and event.question is not None:
                    self.wake(event.question)
        finally:
            subscriber.close()


@post("/v1/questions")
async def ask(
    data: JSONBody[NewQuestion],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    once: NamedDependency[Once],
) -> QuestionRow:
    """An agent asks a person; its task is paused until the answer."""
    refuse_bad_text("text", data.text)
    if caller.task is None:
        raise PermissionDeniedException("only a task's agent asks; a person answers")
    if any("\0" in text for text in (*data.options, data.default or "")):
        raise HTTPException("a text holds a NUL byte; remove it", status_code=422)
    question, data = new_id(), Mask().struct(data)
    async with database.unit_of_work("gateway.ask") as unit:
        if known := await once.known(unit, QuestionRow):
            return known
        columns = {
            "id": question,
            "task": caller.task,
            "attempt": caller.attempt,
            "directive": caller.directive,
            "text": data.text,
            "options": data.options,
            "default": data.default,
            "timeout": data.timeout_seconds,
        }
        await unit.rows(SQL["ask"], columns)
        unit.record(
            QuestionAsked(directive=caller.directive, question=question, task=caller.task, text=data.text[:1000])
        )
        rows = await unit.rows(SQL["question"], {"id": question, "owner": caller.owner})
        return await once.keep(unit, answer(QuestionRow, rows[0]))


@get("/v1/questions")
async def list_questions(caller: NamedDependency[Caller], database: NamedDependency[Database]) -> list[QuestionRow]:
    """The questions that wait for an answer, oldest first."""
    return answers(QuestionRow, await database.rows(SQL["questions"], {"owner": caller.person().owner}))


@get("/v1/questions/{question:uuid}")
async def show_question(
    question: FromPath[UUID],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    waiters: NamedDependency[Answers],
    wait: FromQuery[Annotated[float, msgspec.Meta(ge=0, le=LONGEST_WAIT_SECONDS)]] = 0.0,
) -> QuestionRow:
    """A question; with `wait`, as soon as it is settled, or after so many seconds."""
    async with waiters.waiting(question) as woken:
        shown = await _read(database, caller, question)
        if wait and shown.settled is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), wait)
            shown = await _read(database, caller, question)
        return shown


@post("/v1/questions/{question:uuid}/answer", status_code=200)
async def give_answer(
    question: FromPath[UUID],
    data: JSONBody[NewAnswer],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    waiters: NamedDependency[Answers],
    once: NamedDependency[Once],
) -> Accepted:
    """A person answers; 409 when it is settled already, or its task has ended."""
    refuse_bad_text("answer", data.answer)
    async with database.unit_of_work("gateway.answer") as unit:
        if known := await once.known(unit, Accepted):
            return known
        rows = await unit.rows(SQL["answer"], {"id": question, "owner": caller.person().owner, "answer": data.answer})
        if not rows:
            raise HTTPException(f"question {question} is not there, or settled, or its task has ended", status_code=409)
        row = rows[0]
        unit.record(
            QuestionAnswered(directive=row["directive_id"], question=question, task=row["task_id"], settled="answered")
        )
        accepted = await once.keep(unit, Accepted(status="answered"))
    waiters.wake(question)
    return accepted


async def _read(database: Database, caller: Caller, question: UUID) -> QuestionRow:
    rows = await database.rows(SQL["question"], {"id": question, "owner": caller.owner})
    if not rows:
        raise NotFoundException(f"no question {question}")
    caller.on(rows[0]["directive_id"])
    return answer(QuestionRow, rows[0])


ROUTES = (ask, list_questions, show_question, give_answer)
