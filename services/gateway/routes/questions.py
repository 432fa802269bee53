"""Questions: asked by an agent in mid-task, answered by a person; an event wakes whoever waits for the answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException, PermissionDeniedException
from litestar.params import FromPath, JSONBody, QueryParameter

from services.gateway.access import OPERATOR, OPERATOR_OR_TASK, VIEWER, VIEWER_OR_TASK, Caller
from services.gateway.feed.held import Held
from services.gateway.feed.waiters import Answers
from services.gateway.http.problems import AnyRequest
from services.gateway.pages import NEXT, Cursor, Limit, after, page
from services.gateway.rows.questions import ANSWER, ASK, QUESTION, QUESTIONS
from services.gateway.showing import show, show_all
from services.gateway.texts import refuse_bad_text, refuse_nul
from services.gateway.transactions import Change
from services.gateway.versions import LOCATION
from shared.api.questions import NewAnswer, NewQuestion, QuestionShown
from shared.api.tasks import Accepted
from shared.domain.ids import new_id
from shared.domain.masking import Mask
from shared.messages.events import QuestionAnswered, QuestionAsked
from shared.store.database import Database, Reader

LONGEST_WAIT_SECONDS = 25.0
"""Of one request that waits for an answer; it is asked again. A lost event costs so much at most."""
Wait = Annotated[
    float,
    QueryParameter(ge=0, le=LONGEST_WAIT_SECONDS, description="Seconds to wait for the answer."),
]


class _Place(msgspec.Struct, frozen=True):
    at: datetime | None = None
    id: UUID | None = None


@post("/v1/questions", operation_id="ask", opt=OPERATOR_OR_TASK, tags=["questions"], response_headers=[LOCATION])
async def ask(
    data: JSONBody[NewQuestion], caller: NamedDependency[Caller], change: NamedDependency[Change]
) -> Response[QuestionShown]:
    """An agent asks a person; its task is paused until the answer."""
    refuse_bad_text("text", data.text)
    if caller.task is None:
        raise PermissionDeniedException("only a task's agent asks; a person answers")
    refuse_nul("text", *data.options, data.default)
    question, data = new_id(), Mask().struct(data)
    async with change.begin("gateway.ask") as begun:
        begun.unit.execute(
            ASK(
                id=question,
                task=caller.task,
                attempt=caller.attempt,
                directive=caller.directive,
                text=data.text,
                options=data.options,
                default=data.default,
                timeout=data.timeout_seconds,
            )
        )
        begun.unit.record(
            QuestionAsked(directive=caller.directive, question=question, task=caller.task, text=data.text[:1000])
        )
        asked = await begun.unit.fetch_one(QUESTION(id=question, owner=caller.owner))
        return begun.answer(show(QuestionShown, asked), f"/v1/questions/{question}")


@get("/v1/questions", operation_id="listQuestions", opt=VIEWER, tags=["questions"], response_headers=[NEXT])
async def list_questions(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    cursor: Cursor = None,
    limit: Limit = 1000,
) -> Response[list[QuestionShown]]:
    """The questions that wait for an answer, oldest first."""
    place = after(cursor, _Place, _Place())
    asked = QUESTIONS(owner=caller.owner, after_at=place.at, after_id=place.id, limit=limit + 1)
    found = show_all(QuestionShown, await database.fetch(asked))
    return page(request, found, limit, lambda question: _Place(question.asked_at, question.id))


@get("/v1/questions/{question:uuid}", operation_id="showQuestion", opt=VIEWER_OR_TASK, tags=["questions"])
async def show_question(
    question: FromPath[UUID],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    waiters: NamedDependency[Answers],
    held: NamedDependency[Held],
    wait: Wait = 0.0,
) -> QuestionShown:
    """A question; with `wait`, as soon as it is settled, or after so many seconds."""
    async with waiters.waiting(question) as woken:
        shown = await _read(database, caller, question)
        if not wait or shown.settled is not None:
            return shown
        async with held.open(caller, woken.set) as hold:
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), wait)
            hold.refuse_over()
        return await _read(database, caller, question)


@post("/v1/questions/{question:uuid}/answer", status_code=200, operation_id="answer", opt=OPERATOR, tags=["questions"])
async def give_answer(
    question: FromPath[UUID],
    data: JSONBody[NewAnswer],
    caller: NamedDependency[Caller],
    waiters: NamedDependency[Answers],
    change: NamedDependency[Change],
) -> Response[Accepted]:
    """A person answers; 409 when it is settled already, or its task has ended."""
    refuse_bad_text("answer", data.answer)
    owner = caller.owner
    async with change.begin("gateway.answer") as begun:
        answered = await begun.unit.fetch_first(ANSWER(id=question, owner=owner, answer=data.answer))
        if answered is None:
            await _read(begun.unit, caller, question)
            raise HTTPException(f"question {question} is settled, or its task has ended", status_code=409)
        begun.unit.record(
            QuestionAnswered(
                directive=answered.directive_id, question=question, task=answered.task_id, settled="answered"
            )
        )
        accepted = begun.answer(Accepted(status="answered"))
    waiters.wake(question)
    return accepted


async def _read(reader: Reader, caller: Caller, question: UUID) -> QuestionShown:
    """The question. Raises NotFoundException."""
    found = await reader.fetch_first(QUESTION(id=question, owner=caller.owner))
    if found is None:
        raise NotFoundException(f"no question {question}")
    caller.on(found.directive_id)
    return show(QuestionShown, found)


ROUTES = (ask, list_questions, show_question, give_answer)
