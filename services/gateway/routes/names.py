"""Names: what people call things, looked up. 12 is a directive, 12/3 or 12/NAME a step; a title, an id's beginning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from services.gateway.access import VIEWER_OR_TASK, Caller
from services.gateway.rows.names import (
    DIRECTIVE_BY_NUMBER,
    DIRECTIVES_BETWEEN,
    DIRECTIVES_CALLED,
    ORDERS_CALLED,
    QUESTIONS_BETWEEN,
    QUESTIONS_OF,
    STEPS_BETWEEN,
    STEPS_CALLED,
    TASKS_BETWEEN,
    TASKS_OF,
    Called,
    CalledOrder,
)
from services.gateway.showing import show_all
from shared.api.names import Kind, Named
from shared.domain.statuses import TaskKind
from shared.store.database import Database

MIN_CHARACTERS = 4
"""Of an id's beginning."""
_NUMBER = re.compile(r"[0-9]{1,9}")
Name = Annotated[str, QueryParameter(min_length=1, max_length=500, description="As a person wrote it.")]
JOBS = {
    "plan": TaskKind.PLAN,
    "delivery": TaskKind.COMPLETION,
    "verification": TaskKind.VERIFICATION,
    "step": TaskKind.STEP,
}
"""The tasks of a directive as a whole, as 12/plan; 12/step: of steps that were removed."""
_PLACE = re.compile(r"(.+)\.([0-9]{1,4})")
Found = Sequence[Called | CalledOrder]


@get("/v1/names", operation_id="findNamed", opt=VIEWER_OR_TASK, tags=["waiting"])
async def find_named(
    name: Name, kind: FromQuery[Kind], caller: NamedDependency[Caller], database: NamedDependency[Database]
) -> list[Named]:
    """What is called so, at most ten: a directive by number or title, a step as 12/3 or 12/NAME, its newest task
    likewise, or as 12/plan, 12/delivery or 12/step (of steps that were removed), an earlier one as 12/3.1, an open
    question by its task or its directive; any by the beginning of its id."""
    found = await _Search(database, caller.owner).of(kind, name.strip())
    return show_all(Named, [one for one in found if caller.directive in (None, one.directive_id)])


class _Search:
    """Looks names of an owner's things up."""

    def __init__(self, database: Database, owner: UUID) -> None:
        self._database = database
        self._owner = owner

    async def of(self, kind: Kind, name: str) -> Found:
        """Things of a kind that are called so."""
        match kind:
            case "directive":
                return await self.directives(name)
            case "step":
                return await self.steps(name)
            case "task":
                return await self.tasks(name)
            case "question":
                if asked := await self.questions(name):
                    return asked
                first, last = between(name)
                return await self._database.fetch(QUESTIONS_BETWEEN(owner=self._owner, first=first, last=last))
            case "order":
                return await self.orders(name)
            case "anything":
                return await self.directives(name) or await self.steps(name) or await self.tasks(name)

    async def directives(self, name: str) -> Sequence[Called]:
        """By number, else by title, else by the id's beginning."""
        if _NUMBER.fullmatch(name):
            numbered = await self._database.fetch(DIRECTIVE_BY_NUMBER(owner=self._owner, number=int(name)))
            if numbered:
                return numbered
        first, last = between(name)
        titled, begun = await self._database.fetch_all(
            DIRECTIVES_CALLED(owner=self._owner, name=name),
            DIRECTIVES_BETWEEN(owner=self._owner, first=first, last=last),
        )
        return titled or begun

    async def steps(self, name: str) -> Sequence[Called]:
        """As DIRECTIVE/STEP, else by the id's beginning."""
        directive, _, step = name.partition("/")
        if not step:
            first, last = between(name)
            return await self._database.fetch(STEPS_BETWEEN(owner=self._owner, first=first, last=last))
        number = int(step) if _NUMBER.fullmatch(step) else None
        found: list[Called] = []
        for one in await self.directives(directive):
            found += await self._database.fetch(STEPS_CALLED(directive=one.id, number=number, name=step))
        return found

    async def tasks(self, name: str) -> Sequence[Called]:
        """The newest of a step (12/3) or of a kind (12/plan), an earlier one (12/3.1), else by the id's beginning."""
        if "/" not in name:
            first, last = between(name)
            return await self._database.fetch(TASKS_BETWEEN(owner=self._owner, first=first, last=last))
        if newest := await self._newest(name):
            return newest
        of, place = (found[1], int(found[2])) if (found := _PLACE.fullmatch(name)) else ("", 0)
        return [tasks[place - 1] for tasks in await self._of(of) if 0 < place <= len(tasks)]

    async def _newest(self, name: str) -> list[Called]:
        return [tasks[-1] for tasks in await self._of(name) if tasks]

    async def _of(self, name: str) -> list[Sequence[Called]]:
        """The tasks of each step, or of the kind, that a name is of."""
        directive, _, what = name.partition("/")
        if what in JOBS:
            asked = [TASKS_OF(directive=one.id, kind=JOBS[what], step=None) for one in await self.directives(directive)]
            found: list[Sequence[Called]] = [tasks for one in asked if (tasks := await self._database.fetch(one))]
            if found:
                return found
        steps = await self.steps(name)
        asked = [TASKS_OF(directive=step.directive_id, kind=TaskKind.STEP, step=step.id) for step in steps]
        return [await self._database.fetch(one) for one in asked]

    async def orders(self, name: str) -> Sequence[CalledOrder]:
        """By number, else by title or by the id's beginning."""
        first, last = between(name)
        number = int(name) if _NUMBER.fullmatch(name) else None
        found = await self._database.fetch(
            ORDERS_CALLED(owner=self._owner, number=number, first=first, last=last, name=name)
        )
        return [one for one in found if one.label == name] or found

    async def questions(self, name: str) -> Sequence[Called]:
        """The open ones of a directive (12), or of a task of it (12/3, 12/plan)."""
        if "/" in name:
            asked = [QUESTIONS_OF(directive=t.directive_id, task=t.id) for t in await self.tasks(name)]
        else:
            asked = [QUESTIONS_OF(directive=d.id, task=None) for d in await self.directives(name)]
        return [question for one in asked for question in await self._database.fetch(one)]


def between(name: str) -> tuple[UUID, UUID]:
    """The first and the last id that begin so; none that there is, when it is no beginning of one.

    >>> [str(one)[:13] for one in between("01a2-1f")]
    ['01a21f00-0000', '01a21fff-ffff']
    """
    characters = name.replace("-", "").lower()
    if not MIN_CHARACTERS <= len(characters) <= 32 or not re.fullmatch("[0-9a-f]+", characters):
        characters = "0" * 32
    return UUID(characters.ljust(32, "0")), UUID(characters.ljust(32, "f"))


ROUTES = (find_named,)
