"""Who calls, and what that caller may ask for: each route declares the role that it takes."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import msgspec
import structlog
from litestar.exceptions import NotAuthorizedException, NotFoundException, PermissionDeniedException

from services.gateway.rows.access import LIVE_TASK
from services.gateway.rows.people import BEARER, OWNER_NAMED, USED, Bearer
from services.gateway.sessions import Sessions
from shared.domain.roles import Role
from shared.domain.statuses import TaskKind
from shared.service.tokens import read_task_token
from shared.store.database import UNAVAILABLE, Database

log = structlog.get_logger()

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="makima"'}
BY_CLUSTER = "the cluster's administrator"
"""Who has the cluster's own token; nobody can be called so."""
OWNER_HEADER = "Makima-Owner"
USED_SECONDS = 60.0
"""How often at most it is kept that a token was used."""
_PERSON_TOKEN = re.compile(r"mkt_[0-9a-f]{48}", re.ASCII)

Declared = Mapping[str, object]
"""What a route says of who may ask for it: it stands as `opt` at its handler."""
ANYBODY: Declared = {"role": None}
"""Needs no token."""
PAGE: Declared = {"role": None, "page": True}
"""Needs no token, and is asked for by the page alone."""
VIEWER: Declared = {"role": Role.VIEWER}
OPERATOR: Declared = {"role": Role.OPERATOR}
ADMIN: Declared = {"role": Role.ADMIN}
CLUSTER: Declared = {"role": Role.ADMIN, "cluster": True}
"""Only with the cluster's own token."""
VIEWER_OR_TASK: Declared = {"role": Role.VIEWER, "tasks": True}
OPERATOR_OR_TASK: Declared = {"role": Role.OPERATOR, "tasks": True}
"""A task, too, within its directive."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whose request it is. `task` and `directive` are a task's; `person` and `token` a person's; `cluster` is the
    cluster's own token, which is nobody's in particular."""

    owner: UUID
    owner_name: str
    role: Role = Role.VIEWER
    cluster: bool = False
    person: str | None = None
    person_id: UUID | None = None
    token: UUID | None = None
    seconds_left: float | None = None
    """Until the person's token expires; None: it doesn't."""
    task: UUID | None = None
    kind: TaskKind | None = None
    attempt: int = 0
    directive: UUID | None = None

    @property
    def finds(self) -> bool:
        """Whether it is a task that does not plan: what it changes of a plan is only for work that it finds."""
        return self.task is not None and self.kind != TaskKind.PLAN

    @property
    def by(self) -> str | None:
        """Who does it, as the audit log says: a person; of a task, nobody."""
        return BY_CLUSTER if self.cluster else self.person

    def no_task(self) -> Caller:
        """This caller, if it is no task. Raises PermissionDeniedException."""
        if self.task is not None:
            raise PermissionDeniedException("a task's token can't do this; a person can")
        return self

    def on(self, directive: UUID) -> Caller:
        """This caller, if it may touch the directive. Raises PermissionDeniedException."""
        if self.directive not in (None, directive):
            raise PermissionDeniedException("a task's token is for its own directive only")
        return self

    def may(self, declared: Declared) -> Caller:
        """This caller, if a route that declares this is for it. Raises PermissionDeniedException."""
        if self.task is not None:
            return self if declared.get("tasks") else self.no_task()
        if declared.get("cluster") and not self.cluster:
            raise PermissionDeniedException(
                "only the cluster's own token can do this: `makima up` keeps it in its home"
            )
        needed = declared["role"]
        assert isinstance(needed, Role)
        if not self.role.includes(needed):
            raise PermissionDeniedException(
                f"this takes the role {needed}, and this token has the role {self.role} in {self.owner_name}; "
                "an admin of it can say otherwise"
            )
        return self


def needs_token(declared: Declared) -> bool:
    """Whether a route that declares this takes no request without a token."""
    return declared.get("role", ADMIN) is not None


def cluster_token(home: Path) -> str:
    """The cluster's own token, `{home}/token` (mode 0600), made when it isn't there."""
    path = home / "token"
    if not path.exists():
        draft = home / ".token"
        draft.touch(mode=0o600)
        draft.write_text("mkp_" + os.urandom(24).hex())
        draft.replace(path)
    return path.read_text().strip()


class Gate:
    """Turns a request's headers into a Caller."""

    def __init__(
        self, database: Database, secret: bytes, token: str, sessions: Sessions, owner: UUID, owner_name: str
    ) -> None:
        self._database = database
        self._secret = secret
        self._hash = hash_of(token)
        self.sessions = sessions
        self._cluster = Caller(owner=owner, owner_name=owner_name, role=Role.ADMIN, cluster=True)
        self._uses = Uses(database)

    async def caller(self, authorization: str | None, owner: str | None = None) -> Caller:
        """The caller; with `owner` in that one. Raises NotAuthorizedException, NotFoundException for no such owner."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
        caller = await self._known(token)
        if owner is None or owner == caller.owner_name:
            return caller
        for found in await self._database.fetch(OWNER_NAMED(name=owner)) if caller.cluster else ():
            return msgspec.structs.replace(caller, owner=found.id, owner_name=found.name)
        raise NotFoundException(f"no owner {owner[:63]!r}")

    async def _known(self, token: str) -> Caller:
        if hmac.compare_digest(hash_of(token), self._hash) or self.sessions.holds(token):
            return self._cluster
        if _PERSON_TOKEN.fullmatch(token):
            return await self._person(token)
        if read := read_task_token(self._secret, token):
            return await self._task(*read)
        raise NotAuthorizedException("give a valid bearer token: `makima up` keeps one in its home", headers=CHALLENGE)

    async def _person(self, token: str) -> Caller:
        bearer = await self._database.fetch_first(BEARER(hash=hash_of(token)))
        if bearer is None:
            raise ended()
        self._uses.note(bearer)
        return Caller(
            owner=bearer.owner_id, owner_name=bearer.owner_name, role=bearer.role, person=bearer.person,
            person_id=bearer.person_id, token=bearer.token, seconds_left=bearer.seconds_left,
        )  # fmt: skip

    async def _task(self, task: UUID, attempt: int) -> Caller:
        live = await self._database.fetch_first(LIVE_TASK(task=task, attempt=attempt))
        if live is None:
            raise NotAuthorizedException("the token's task has ended", headers=CHALLENGE)
        return Caller(
            owner=live.owner_id, owner_name=live.owner_name, task=live.id, attempt=attempt, kind=live.kind,
            directive=live.directive_id,
        )  # fmt: skip


class Uses:
    """Keeps when tokens were last used, to the minute, beside the requests: none of them waits for it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[UUID, float] = {}
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, bearer: Bearer) -> None:
        """A token was used just now."""
        now = time.monotonic()
        if not bearer.is_due or now - self._noted.get(bearer.token, -USED_SECONDS) < USED_SECONDS:
            return
        self._noted = {token: at for token, at in self._noted.items() if now - at < USED_SECONDS} | {bearer.token: now}
        writing = asyncio.create_task(self._write(bearer.token))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def _write(self, token: UUID) -> None:
        """A use that can't be kept now is kept with one that comes later."""
        try:
            async with self._database.unit_of_work("gateway.used") as unit:
                unit.execute(USED(token=token, seconds=USED_SECONDS))
        except UNAVAILABLE as error:
            log.debug("when a token was used can't be kept", error=str(error))


def ended() -> NotAuthorizedException:
    """For a person's token that is none, or none any more."""
    return NotAuthorizedException(
        "this token is not, or no longer, good for anything: it may have expired or been revoked", headers=CHALLENGE
    )


def hash_of(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
