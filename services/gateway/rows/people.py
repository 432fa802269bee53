"""People, what they may do in an owner, and their tokens."""

from __future__ import annotations

from uuid import UUID

import msgspec

from services.gateway.rows import SQL
from shared.domain.roles import Role


class Bearer(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a token is that is good now, and what it may."""

    token: UUID
    owner_id: UUID
    owner_name: str
    person_id: UUID
    person: str
    role: Role
    seconds_left: float | None
    is_due: bool
    """Whether it has not been kept for a minute that it is used."""


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """An owner."""

    id: UUID
    name: str


BEARER = SQL.query("bearer", Bearer)
USED = SQL.command("used")
OWNER_NAMED = SQL.query("owner_named", Named)
ADD_TOKEN = SQL.query("add_token", UUID)
REVOKE_SESSION = SQL.command("revoke_session")
