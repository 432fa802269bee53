"""The rules of readiness once more, in Python: what the services' statements are held to. Only tests ask it."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from shared.domain.readiness import Node, waits_for
from shared.domain.statuses import STEP_TRANSITIONS, TERMINAL_STEP, StepStatus


def ready(steps: Iterable[Node]) -> set[UUID]:
    """The pending steps that are ready now (rule 1)."""
    by_id = {s.id: s for s in steps}
    return {s.id for s in by_id.values() if s.status is StepStatus.PENDING and not waits_for(s, by_id)}


def idle(steps: Iterable[Node]) -> bool:
    """Whether nothing is left to run (rule 11): there are steps, and every one is terminal."""
    statuses = [s.status for s in steps]
    return bool(statuses) and all(s in TERMINAL_STEP for s in statuses)


def assert_step_may_become(before: StepStatus, after: StepStatus) -> None:
    """A step goes by its table only."""
    assert after in STEP_TRANSITIONS[before], f"a step that is {before} can't become {after}"
