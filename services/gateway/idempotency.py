"""Idempotency-Key: a POST that is asked again is answered as before, and done once.

The key is claimed in the transaction that does the work, and the answer kept in it: either both are there or neither.
A second request with the same key waits at the claim until the first one's transaction has ended.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar
from uuid import UUID

import msgspec
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException

from services.gateway.access import SQL, Caller
from services.gateway.problems import AnyRequest
from shared.store.database import UnitOfWork

HEADER = "idempotency-key"
A = TypeVar("A")


class Once(msgspec.Struct, frozen=True):
    """The key of a request, if it has one: `known` first in a unit of work, `keep` last."""

    owner: UUID
    key: str | None
    request: str

    async def known(self, unit: UnitOfWork, shape: type[A]) -> A | None:
        """The answer that this request was given before. Raises HTTPException 422 when the key is another request's."""
        if self.key is None or await unit.rows(SQL["claim_key"], self._parameters()):
            return None
        kept = (await unit.rows(SQL["kept_answer"], self._parameters()))[0]
        if kept["request"] != self.request:
            raise HTTPException("this Idempotency-Key was used for another request; take a new one", status_code=422)
        return msgspec.convert(kept["answer"], shape)

    async def keep(self, unit: UnitOfWork, answered: A) -> A:
        """Keep this answer, and give it."""
        if self.key is not None:
            await unit.rows(
                SQL["keep_answer"], {**self._parameters(), "answer": msgspec.json.encode(answered).decode()}
            )
        return answered

    def _parameters(self) -> dict[str, object]:
        return {"owner": self.owner, "key": self.key, "request": self.request}


async def once(request: AnyRequest, caller: NamedDependency[Caller]) -> Once:
    """The dependency `once` of handlers. Raises HTTPException 422 when the key can't be one."""
    key = request.headers.get(HEADER)
    if key is None:
        return Once(caller.owner, None, "")
    if not (key.isascii() and key.isprintable() and 1 <= len(key) <= 200):
        raise HTTPException("an Idempotency-Key has 1 to 200 printable characters of ASCII", status_code=422)
    told = hashlib.sha256(f"{caller.task} {request.method} {request.url.path}\n".encode() + await request.body())
    return Once(caller.owner, key, told.hexdigest())
