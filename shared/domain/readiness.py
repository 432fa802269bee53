"""Which steps may run, when a directive is idle, and where a step's work starts (rules 1, 7 and 11)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import msgspec

from shared.domain.statuses import SETTLED_STEP, TERMINAL_STEP, StepStatus


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


def ready(steps: Iterable[Node]) -> set[UUID]:
    """The pending steps that are ready now."""
    by_id = {s.id: s for s in steps}
    return {s.id for s in by_id.values() if s.status is StepStatus.PENDING and not waits_for(s, by_id)}


def idle(steps: Iterable[Node]) -> bool:
    """Whether nothing is left to run: there are steps, and every one is terminal."""
    statuses = [s.status for s in steps]
    return bool(statuses) and all(s in TERMINAL_STEP for s in statuses)


def start(dependencies: Sequence[str], pr_branch: str | None, last_completed: str | None) -> Start:
    """Where a step starts, given its dependencies' branches in order, the delivery and the last finished work."""
    if dependencies:
        distinct = tuple(dict.fromkeys(dependencies))
        return Start(branch=distinct[0], merge=distinct[1:])
    return Start(branch=pr_branch or last_completed)


def leaves(steps: Sequence[tuple[UUID, str | None, Sequence[UUID]]]) -> list[str]:
    """Of steps as (id, branch, dependencies), in order: the branches that hold all the others."""
    needed = {dependency for _, _, dependencies in steps for dependency in dependencies}
    return list(dict.fromkeys(branch for step_id, branch, _ in steps if branch and step_id not in needed))
