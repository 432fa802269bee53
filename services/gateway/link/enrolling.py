"""The rules by which a key becomes a daemon's: what it may be called, what replaces it, what is said of each change."""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

from services.gateway.rows.daemon_keys import FULL, LOCK_KEYS, NAME_HOLDER, REVOKE_KEYS, DaemonKey
from shared.bus.link import fingerprint
from shared.domain.names import is_daemon_name
from shared.messages.events import DaemonKeyChanged
from shared.store.database import UnitOfWork

_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")


class Refused(Exception):
    """Why a key can't be enrolled like this, in one line."""


class Enrolling:
    """Changes of one owner's keys in one unit of work, while nobody else changes any."""

    def __init__(self, unit: UnitOfWork, owner: UUID, owner_name: str) -> None:
        unit.execute(LOCK_KEYS())
        self.unit = unit
        self.owner = owner
        self.owner_name = owner_name

    async def refuse_name(self, name: str) -> None:
        """Raise Refused for a name that no daemon can have, or that another has."""
        refuse_bad_name(name)
        holder = await self.unit.fetch_one(NAME_HOLDER(owner=self.owner, name=name))
        if holder.key:
            raise Refused(f"the name {name} belongs to another daemon's key; take another, or revoke that one first")
        if holder.daemon:
            raise Refused(f"there is a daemon called {name} already; take another name")

    async def refuse_more(self) -> None:
        """Raise Refused where the owner has as many daemons as it may have."""
        for most in await self.unit.fetch(FULL(owner=self.owner)):
            raise Refused(
                f"{self.owner_name} may have no more than {most} daemons, and has them: revoke one, "
                "or have an admin set the owner's max_daemons higher"
            )

    def revoke(self, keys: Sequence[DaemonKey], reason: str) -> None:
        """Let these keys connect no more."""
        self.unit.execute(REVOKE_KEYS(keys=[key.public_key for key in keys]))
        for key in keys:
            self.say(key.public_key, key.name, "revoked", reason)

    def say(self, key: str, name: str | None, status: str, reason: str | None = None) -> None:
        """Have it in the audit log that a key has this status now."""
        self.unit.record(key_changed(key, name, self.owner_name, status, reason))


def key_changed(key: str, name: str | None, owner: str, status: str, reason: str | None) -> DaemonKeyChanged:
    """What the audit log says of a key that has this status now."""
    return DaemonKeyChanged(key=fingerprint(key), daemon=name or "", owner=owner, status=status, reason=reason)


def refuse_bad_name(name: str) -> None:
    """Raise Refused for a name that no daemon can have."""
    if not is_daemon_name(name):
        raise Refused(
            f"{name[:40]!r} is no name for a daemon: 1 to 63 letters, digits, `.`, `_` and `-`, the first no sign"
        )


def is_public_key(text: str) -> bool:
    """Whether a text can be a CURVE key in Z85."""
    return _KEY.fullmatch(text) is not None
