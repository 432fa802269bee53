"""People who sign in at an OpenID provider."""

from __future__ import annotations

from uuid import UUID

import msgspec

from services.gateway.rows import SQL
from shared.domain.roles import Role


class KnownPerson(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whom a subject of the provider's is here."""

    id: UUID
    name: str


class OwnMembership(msgspec.Struct, frozen=True, kw_only=True):
    """An owner that a person is a member of."""

    owner_id: UUID
    owner: str
    role: Role


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """A member, by the names of both."""

    person: str
    owner: str
    role: Role


KNOWN_PERSON = SQL.query("known_person", KnownPerson)
BIND_PERSON = SQL.query("bind_person", KnownPerson)
IS_TAKEN = SQL.query("is_taken", bool)
MEMBERSHIPS = SQL.query("memberships", OwnMembership)
MEMBERSHIP = SQL.query("membership", Membership)
