"""Whose git asks for a repository."""

from __future__ import annotations

from uuid import UUID

import msgspec

from services.gateway.rows import SQL
from shared.domain.delivery import Delivery
from shared.domain.statuses import TaskKind


class GitTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task whose attempt is live, and the repository of its directive."""

    id: UUID
    directive_id: UUID
    kind: TaskKind
    name: str
    target_branch: str | None
    delivery: Delivery | None
    repository_url: str | None
    base_branch: str | None


GIT_TASK = SQL.query("git_task", GitTask)
