"""Who calls: a person by the owner's token, or a task by its own, scoped to its directive."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path
from uuid import UUID

import msgspec
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException

from services.gateway.rows.access import LIVE_TASK
from shared.domain.statuses import TaskKind
from shared.service.tokens import read_task_token
from shared.store.database import Database

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="makima"'}


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whose request it is. `task` and `directive` are a task's; a person has neither."""

    owner: UUID
    task: UUID | None = None
    kind: TaskKind | None = None
    attempt: int = 0
    directive: UUID | None = None

    @property
    def finds(self) -> bool:
        """Whether it is a task that does not plan: what it changes of a plan is only for work that it finds."""
        return self.task is not None and self.kind != TaskKind.PLAN

    def person(self) -> Caller:
        """This caller, if it is a person. Raises PermissionDeniedException."""
        if self.task is not None:
            raise PermissionDeniedException("a task's token can't do this; a person can")
        return self

    def on(self, directive: UUID) -> Caller:
        """This caller, if it may touch the directive. Raises PermissionDeniedException."""
        if self.directive not in (None, directive):
            raise PermissionDeniedException("a task's token is for its own directive only")
        return self


def person_token(home: Path) -> str:
    """The person's token, `{home}/token` (mode 0600), made when it isn't there."""
    path = home / "token"
    if not path.exists():
        draft = home / ".token"
        draft.touch(mode=0o600)
        draft.write_text("mkp_" + os.urandom(24).hex())
        draft.replace(path)
    return path.read_text().strip()


class Gate:
    """Turns an Authorization header into a Caller."""

    def __init__(self, database: Database, secret: bytes, token: str, owner: UUID) -> None:
        self._database = database
        self._secret = secret
        self._hash = hash_of(token)
        self._owner = owner

    async def caller(self, header: str | None) -> Caller:
        """The caller. Raises NotAuthorizedException."""
        scheme, _, token = (header or "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
        if hmac.compare_digest(hash_of(token), self._hash):
            return Caller(owner=self._owner)
        if read := read_task_token(self._secret, token):
            task, attempt = read
            for live in await self._database.fetch(LIVE_TASK(task=task, attempt=attempt)):
                return Caller(
                    owner=live.owner_id, task=live.id, attempt=attempt, kind=live.kind, directive=live.directive_id
                )
            raise NotAuthorizedException("the token's task has ended", headers=CHALLENGE)
        raise NotAuthorizedException("give a valid bearer token: `makima up` keeps one in its home", headers=CHALLENGE)


def hash_of(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
