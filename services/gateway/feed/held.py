"""What people hold open, a stream or a request that waits: it ends when the token that asked for it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from services.gateway.access import Caller, ended
from services.gateway.rows.events import FollowedEntry
from services.gateway.rows.people import STILL
from shared.messages.events import REVOKED, MemberChanged, TokenChanged
from shared.messages.topics import event_type
from shared.store.database import Database


class Hold:
    """One of these. `over` says whether its token has ended."""

    def __init__(self, caller: Caller, end: Callable[[], object]) -> None:
        self.caller = caller
        self.over = False
        self._end = end

    def end(self) -> None:
        """Its token is good no longer, or for less."""
        self.over = True
        self._end()

    def refuse_over(self) -> None:
        """Raise NotAuthorizedException when its token has ended."""
        if self.over:
            raise ended()


class Held:
    """All that is held open in this process by people's tokens; of other tokens nothing is kept."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holds: set[Hold] = set()

    @asynccontextmanager
    async def open(self, caller: Caller, end: Callable[[], object]) -> AsyncIterator[Hold]:
        """Call `end` as soon as the caller's token expires, is revoked, or may less. Raises NotAuthorizedException.

        The token is looked at once more: it may have ended since the request was let in.
        """
        hold = Hold(caller, end)
        if caller.token is None:
            yield hold
            return
        self._holds.add(hold)
        expiry = _at(caller.seconds_left, hold.end)
        try:
            if await self._database.fetch(STILL(token=caller.token)) != [caller.role]:
                raise ended()
            yield hold
        finally:
            self._holds.discard(hold)
            if expiry is not None:
                expiry.cancel()

    def end_token(self, token: UUID) -> None:
        """A token was revoked."""
        self._end(lambda caller: caller.token == token)

    def end_member(self, owner: UUID, person: str) -> None:
        """A person is no member of an owner any more, or has another role there."""
        self._end(lambda caller: (caller.owner, caller.person) == (owner, person))

    def entry(self, entry: FollowedEntry) -> None:
        """The same as the log tells it, also of what was done by way of another gateway."""
        if entry.type == event_type(MemberChanged) and entry.owner_id is not None:
            self.end_member(entry.owner_id, str(entry.body.get("person")))
        elif entry.type == event_type(TokenChanged) and entry.body.get("status") == REVOKED:
            self._end(lambda caller: str(caller.token) == entry.body.get("token"))

    def _end(self, concerns: Callable[[Caller], bool]) -> None:
        for hold in [hold for hold in self._holds if concerns(hold.caller)]:
            hold.end()


def _at(seconds: float | None, end: Callable[[], None]) -> asyncio.TimerHandle | None:
    return asyncio.get_running_loop().call_later(seconds, end) if seconds is not None else None
