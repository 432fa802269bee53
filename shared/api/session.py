"""Browsers that sign in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec


class SignInLink(msgspec.Struct, frozen=True, kw_only=True):
    """A way to sign a browser in as who asked for it, once. Treat it as a password while it lasts."""

    path: str
    """Behind the gateway's address. The code stands behind `#`, which browsers send nowhere by themselves."""
    expires_at: datetime


class SignIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The code of a link."""

    code: Annotated[str, msgspec.Meta(max_length=200)]


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """A browser is signed in, until its cookie expires or is taken back."""

    expires_at: datetime
