"""Who asks: a person by the owner's token, or a task by its own, which is worth nothing once its attempt is over."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from uuid import UUID

import msgspec

from services.gateway.problems import Problem, not_found
from shared.domain.ids import new_id
from shared.service.tokens import read_task_token
from shared.store.database import Database
from shared.store.statements import statements

SQL = statements("services.gateway")


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """An owner, and where a task asks: which, of what kind and for which directive."""

    owner: UUID
    task: UUID | None = None
    kind: str | None = None
    directive: UUID | None = None

    def require_person(self) -> None:
        """Raise Problem (403) when a task asks."""
        if self.task is not None:
            raise Problem(403, "a task's token can't do that; it takes a person's")

    def may_see(self, directive: str) -> UUID:
        """The directive's id. Raises Problem: 404 for what is no id, 403 for a task that looks beyond its own."""
        try:
            found = UUID(directive)
        except ValueError:
            raise not_found("directive", directive) from None
        if self.directive is not None and self.directive != found:
            raise Problem(403, f"this task's token is for the directive {self.directive} only")
        return found


def token_hash(token: str) -> str:
    """What is stored of a person's token."""
    return hashlib.sha256(token.encode()).hexdigest()


def person_token(home: Path) -> str:
    """The person's token, `{home}/token` (mode 0600), made when it isn't there."""
    path = home / "token"
    if not path.exists():
        draft = home / f".token-{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(f"mk_{secrets.token_urlsafe(32)}\n", encoding="ascii")
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was first: its token counts
        finally:
            draft.unlink()
    return path.read_text(encoding="ascii").strip()


async def ensure_owner(database: Database, name: str, token: str) -> None:
    """The owner's row, with the hash of the token that speaks for it."""
    async with database.unit_of_work() as unit:
        parameters = {"id": new_id(), "name": name, "hash": token_hash(token)}
        await unit.rows(SQL["release_token"], parameters)
        await unit.rows(SQL["ensure_owner"], parameters)


async def identify(database: Database, secret: bytes, authorization: str | None) -> Caller:
    """Who an Authorization header speaks for. Raises Problem (401)."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Problem(401, "no token was given; set MAKIMA_TOKEN, or MAKIMA_HOME to the home of the cluster")
    if token.startswith("mkt_"):
        if claims := read_task_token(secret, token):
            rows = await database.rows(SQL["task_caller"], {"task": claims[0], "attempt": claims[1]})
            for row in rows:
                return Caller(owner=row["owner_id"], task=row["id"], kind=row["kind"], directive=row["directive_id"])
        raise Problem(401, "this task's token has ended with its task")
    for row in await database.rows(SQL["person"], {"hash": token_hash(token)}):
        return Caller(owner=row["id"])
    raise Problem(401, "this token is unknown here; is MAKIMA_HOME that of the cluster at this address?")
