"""People, what they may do in an owner, and their tokens."""

from __future__ import annotations

from datetime import datetime
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


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """An owner with its limits."""

    name: str
    members: int
    directives: int
    max_running: int | None
    max_cost_usd_a_day: float | None
    max_daemons: int | None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A person's place in an owner."""

    person_id: UUID
    name: str
    role: Role
    added_at: datetime
    tokens: int
    last_used_at: datetime | None


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token of a person's in an owner."""

    id: UUID
    name: str
    person: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class Issued(Token, frozen=True, kw_only=True):
    """The same, with the owner's name."""

    owner: str


BEARER = SQL.query("bearer", Bearer)
STILL = SQL.query("still", Role)
USED = SQL.command("used")
OWNER_NAMED = SQL.query("owner_named", Named)
REVOKE_SESSION = SQL.query("revoke_session", UUID)
OWNERS = SQL.query("owners", Owner)
OWNER = SQL.query("owner", Owner)
ADD_OWNER = SQL.query("add_owner", UUID)
LOCK_OWNER = SQL.command("lock_owner")
SET_LIMITS = SQL.command("set_limits")
MEMBERS = SQL.query("members", Member)
MEMBER = SQL.query("member", Member)
OTHER_ADMINS = SQL.query("other_admins", int)
PUT_MEMBER = SQL.query("put_member", UUID)
REMOVE_MEMBER = SQL.command("remove_member")
TOKENS = SQL.query("tokens", Token)
TOKEN = SQL.query("token", Token)
ADD_TOKEN = SQL.query("add_token", Issued)
REVOKE_TOKEN = SQL.command("revoke_token")
