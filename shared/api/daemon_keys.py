"""Keys of daemons on other machines, and invitations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from shared.domain.names import DAEMON_NAME
from shared.domain.plans import LONGEST_NAME, MAX_LABELS
from shared.domain.statuses import KeyStatus

Name = Annotated[str, msgspec.Meta(pattern=DAEMON_NAME)]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)]
LONGEST_INVITATION_SECONDS = 7 * 24 * 3600


class NewInvitation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to invite. Without a name the daemon chooses its own; labels and slots are what it is told to have."""

    name: Name | None = None
    labels: Annotated[list[Label], msgspec.Meta(max_length=MAX_LABELS)] = []
    slots: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    expires_seconds: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_INVITATION_SECONDS)] = 3600


class InvitationShown(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation. Its line is told to whoever asked for it, and nobody else."""

    line: str
    """What `makima daemon join` takes on the other machine, once. Who has it can join: treat it as a password."""
    name: str | None
    fingerprint: str
    """Of the invitation's key, by which it can be revoked."""
    expires_at: datetime


class DaemonKeyShown(msgspec.Struct, frozen=True, kw_only=True):
    """A key: an invitation's (`invited`, `used`), or that of a daemon on another machine."""

    fingerprint: str
    """Of the public key; `makima daemon join` shows it on the other machine, too."""
    name: str | None
    """Null: an invitation that leaves it open."""
    status: KeyStatus
    labels: list[str]
    slots: int | None
    created_at: datetime
    changed_at: datetime
    expires_at: datetime | None
    """Until when it may connect; null where that has no end, or is over."""


class AcceptWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a key is accepted as: without a name as the one that it asks for, without slots with at most 64."""

    name: Name | None = None
    slots: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
