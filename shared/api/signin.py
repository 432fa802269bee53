"""Signing in at an OpenID provider, as a command line sees it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from shared.domain.roles import Role

Code = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Verifier = Annotated[str, msgspec.Meta(min_length=43, max_length=128)]
TokenName = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class SignInShown(msgspec.Struct, frozen=True, kw_only=True):
    """Where people sign in."""

    issuer: str | None
    """Of the OpenID provider; null where nobody signs in by a browser."""
    address: str | None = None
    """Where browsers reach the gateway."""


class Redemption(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A code that a browser brought, from the command line that it was made for."""

    code: Code
    verifier: Verifier
    """What the challenge of this sign-in is the hash of (RFC 7636, S256)."""
    name: TokenName
    """What to call the token: where it is kept."""


class Redeemed(msgspec.Struct, frozen=True, kw_only=True):
    """A person's token, told this once."""

    token: str
    person: str
    owner: str
    role: Role
    expires_at: datetime
