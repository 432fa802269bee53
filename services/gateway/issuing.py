"""Tokens of people: made here and shown once; what is kept of one is its hash."""

from __future__ import annotations

import hmac
import os
from uuid import UUID

from services.gateway.access import hash_of
from services.gateway.rows.people import ADD_TOKEN, Issued
from shared.domain.ids import new_id
from shared.domain.roles import Role
from shared.messages.events import ISSUED, TokenChanged
from shared.store.database import UnitOfWork


async def issue(unit: UnitOfWork, *, owner: UUID, person: UUID, name: str, role: Role, seconds: float | None) -> str:
    """Give a member another token, called `name`: it may at most what `role` may, for so many seconds (None: for ever).

    Raises LookupError when the person is no member.
    """
    token = "mkt_" + os.urandom(24).hex()
    await keep(unit, token, owner=owner, person=person, name=name, role=role, seconds=seconds)
    return token


async def keep(
    unit: UnitOfWork, token: str, *, owner: UUID, person: UUID, name: str, role: Role, seconds: float | None
) -> Issued:
    """The same with a token that is known already. Raises LookupError when the person is no member."""
    asked = ADD_TOKEN(
        id=new_id(), owner=owner, person=person, name=name, hash=hash_of(token), role=role, seconds=seconds
    )
    kept = await unit.fetch_one(asked)
    unit.record(TokenChanged(owner=kept.owner, person=kept.person, token=kept.id, name=name, status=ISSUED))
    return kept


def derived(secret: bytes, seed: str) -> str:
    """The token that follows from the cluster's secret and a seed, which alone is worth nothing."""
    return "mkt_" + hmac.digest(secret, f"token {seed}".encode(), "sha256").hex()[:48]
