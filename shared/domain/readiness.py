"""What a step waits for, and where its work starts (rules 1 and 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from shared.domain.statuses import SETTLED_STEP, StepStatus


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """As much of a step as its readiness depends on."""

    id: UUID
    status: StepStatus
    order_index: int = 0
    depends_on: tuple[UUID, ...] = ()
    name: str = ""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Where a step's worktree starts: a branch (None = the base branch), and what is merged into it."""

    branch: str | None
    merge: tuple[str, ...] = ()


def waits_for(node: Node, steps: Mapping[UUID, Node]) -> list[Node]:
    """The steps that a step still waits for: its unsettled dependencies, else the unsettled steps of lower order."""
    unsettled = [steps[i] for i in node.depends_on if i in steps and steps[i].status not in SETTLED_STEP]
    if unsettled:
        return unsettled
    return [s for s in steps.values() if s.order_index < node.order_index and s.status not in SETTLED_STEP]


def start(dependencies: Sequence[str], pr_branch: str | None, last_completed: str | None) -> Start:
    """Where a step starts, given its dependencies' branches in order, the delivery and the last finished work."""
    if dependencies:
        distinct = tuple(dict.fromkeys(dependencies))
        return Start(branch=distinct[0], merge=distinct[1:])
    return Start(branch=pr_branch or last_completed)
