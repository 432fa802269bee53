"""What there is to compare."""

from __future__ import annotations

import msgspec

from services.gateway.rows import SQL
from shared.domain.delivery import Commit


class StepCommits(msgspec.Struct, frozen=True, kw_only=True):
    """A step's commits, the oldest first, and where they are."""

    repository_url: str | None
    commits: list[Commit]


class DeliveredBranch(msgspec.Struct, frozen=True, kw_only=True):
    """Where a directive's delivery is, and what it is to be merged into."""

    repository_url: str | None
    base_branch: str | None
    pr_branch: str | None


STEP_COMMITS = SQL.query("step_commits", StepCommits)
DELIVERED_BRANCH = SQL.query("delivered_branch", DeliveredBranch)
