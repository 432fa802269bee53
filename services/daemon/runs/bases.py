"""Base branches whose check fails before anything was changed: each commit judged once, each directive settled once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar
from uuid import UUID

from services.daemon.runs import red_base
from services.daemon.runs.red_base import Base, Choice

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Together(Generic[K, V]):
    """Finds an answer once for all who ask at the same time. Where whoever finds it is ended, the next one does."""

    def __init__(self) -> None:
        self._finding: dict[K, asyncio.Future[V | None]] = {}

    async def of(self, key: K, find: Callable[[], Awaitable[V]]) -> V:
        """The answer to `key`."""
        while (finding := self._finding.get(key)) is not None:
            if (found := await asyncio.shield(finding)) is not None:
                return found
        future = self._finding[key] = asyncio.get_running_loop().create_future()
        answer = None
        try:
            answer = await find()
            return answer
        finally:
            del self._finding[key]
            future.set_result(answer)


class Bases:
    """What one daemon knows of them."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Base] = {}
        self._choices: dict[UUID, Choice] = {}
        self._judging: Together[tuple[str, str], Base] = Together()
        self._asking: Together[UUID, Choice] = Together()

    async def of(self, commit: str, check: str, judge: Callable[[], Awaitable[Base]]) -> Base:
        """How a check ends on a commit of a base branch; `judge` runs it there."""
        key = (commit, check)
        if key not in self._known:
            self._known[key] = await self._judging.of(key, judge)
        return self._known[key]

    async def settled(self, directive: UUID, question: str, ask: Callable[[str], Awaitable[str | None]]) -> Choice:
        """What a person says is done about a base branch that is red; asked once a directive, and again after a "stop".

        `ask` runs the command line that is the question, and gives what it printed; None: it failed.
        """

        async def asked() -> Choice:
            return red_base.ANSWERS.get((await ask(question) or "").strip(), "stop")

        if directive not in self._choices:
            choice = await self._asking.of(directive, asked)
            if choice == "stop":
                return choice
            self._choices[directive] = choice
        return self._choices[directive]
