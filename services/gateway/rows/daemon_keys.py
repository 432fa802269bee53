"""Keys of daemons on other machines."""

from __future__ import annotations

from datetime import datetime

import msgspec

from services.gateway.rows import SQL
from services.gateway.rows.people import Named
from shared.domain.statuses import KeyStatus


class DaemonKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key: an invitation's, or a daemon's."""

    public_key: str
    name: str | None
    status: KeyStatus
    labels: list[str]
    slots: int | None
    joined_by: str | None
    created_at: datetime
    expires_at: datetime | None
    changed_at: datetime
    expired: bool


class NameHolder(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a key, or a daemon that is connected, has a name."""

    key: bool
    daemon: bool


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A key that has expired, and what became of it."""

    owner: str
    public_key: str
    name: str
    status: str


class AdmittedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that may connect."""

    public_key: str
    name: str
    owner: str
    status: KeyStatus
    labels: list[str]
    slots: int | None
    until: float | None


LOCK_KEYS = SQL.command("lock_keys")
OWNER_OF_KEY = SQL.query("owner_of_key", Named)
KEY = SQL.query("key", DaemonKey)
KEY_EXISTS = SQL.query("key_exists", str)
KEY_BY_FINGERPRINT = SQL.query("key_by_fingerprint", DaemonKey)
KEYS = SQL.query("keys", DaemonKey)
KEYS_NAMED = SQL.query("keys_named", DaemonKey)
NAME_HOLDER = SQL.query("name_holder", NameHolder)
FULL = SQL.query("full", int)
COUNT_ASKING = SQL.query("count_asking", int)
ADD_KEY = SQL.query("add_key", DaemonKey)
ACCEPT_KEY = SQL.query("accept_key", DaemonKey)
USE_INVITATION = SQL.command("use_invitation")
REPLACE_KEYS = SQL.command("replace_keys")
REVOKE_KEYS = SQL.command("revoke_keys")
EXPIRE_KEYS = SQL.query("expire_keys", Ended)
ADMITTED_KEYS = SQL.query("admitted_keys", AdmittedKey)
