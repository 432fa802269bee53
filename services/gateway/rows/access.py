"""Who calls."""

from __future__ import annotations

from uuid import UUID

import msgspec

from services.gateway.rows import SQL
from shared.domain.statuses import TaskKind


class LiveTask(msgspec.Struct, frozen=True, kw_only=True):
    """The task of a token, whose attempt is live."""

    id: UUID
    directive_id: UUID
    kind: TaskKind
    owner_id: UUID
    owner_name: str


OWN = SQL.query("own", UUID)
LIVE_TASK = SQL.query("live_task", LiveTask)
