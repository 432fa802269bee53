"""Owners, who is a member of them, and people's tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from shared.domain.names import OWNER_NAME, PERSON_NAME
from shared.domain.plans import LONGEST_NAME
from shared.domain.roles import Role

OwnerName = Annotated[str, msgspec.Meta(pattern=OWNER_NAME)]
PersonName = Annotated[str, msgspec.Meta(pattern=PERSON_NAME)]
TokenName = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)]
Tasks = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Daemons = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Dollars = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
DAY_SECONDS = 24 * 3600
LONGEST_TOKEN_SECONDS = 3650 * DAY_SECONDS


class NewOwner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A team. `admin` names its first member, who gets a token; without it only the cluster's token reaches it."""

    name: OwnerName
    admin: PersonName | None = None
    max_running: Tasks | None = None
    max_cost_usd_a_day: Dollars | None = None
    max_daemons: Daemons | None = None


class OwnerShown(msgspec.Struct, frozen=True, kw_only=True):
    """An owner, and what it may use; null: no limit."""

    name: str
    members: int
    directives: int
    """How many it has had."""
    max_running: int | None
    """Tasks that run at once."""
    max_cost_usd_a_day: float | None
    max_daemons: int | None


class OwnerMade(OwnerShown, frozen=True, kw_only=True):
    """The same, with its first admin's token, which is told to whoever made it and nobody else."""

    token: str | None


class OwnerLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What isn't given stays. Null lifts a limit."""

    max_running: Tasks | msgspec.UnsetType | None = msgspec.UNSET
    max_cost_usd_a_day: Dollars | msgspec.UnsetType | None = msgspec.UNSET
    max_daemons: Daemons | msgspec.UnsetType | None = msgspec.UNSET


class MemberWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person may do in the owner."""

    role: Role = Role.OPERATOR


class MemberShown(msgspec.Struct, frozen=True, kw_only=True):
    """A person, and what they may do in the owner."""

    name: str
    role: Role
    added_at: datetime
    tokens: int
    """How many are good now."""
    last_used_at: datetime | None
    """Any of them, to the minute."""


class NewToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token of the caller's own; an admin may make one for another member."""

    name: TokenName
    """What it is for, as `laptop` or `ci`."""
    person: PersonName | None = None
    role: Role | None = None
    """The most that it may do; without it what its maker and its person both may."""
    expires_seconds: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_TOKEN_SECONDS)] | None = 90 * DAY_SECONDS
    """Null: it doesn't expire."""


class TokenShown(msgspec.Struct, frozen=True, kw_only=True):
    """A token that is good now. What it may is the lesser of its role and its person's."""

    id: UUID
    name: str
    person: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    """To the minute."""


class TokenMade(TokenShown, frozen=True, kw_only=True):
    """The same with the token itself, which is told to whoever made it and nobody else."""

    token: str


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Whose token it is, and what it may."""

    owner: str
    role: Role
    person: str | None
    """Null: it is the cluster's own token."""
    cluster: bool
