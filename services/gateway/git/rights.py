"""What the daemon's git may do for a task: read its directive's repository, push what the task's work goes to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import msgspec

from services.gateway.git.pushes import Command
from services.gateway.rows.git import GitTask
from shared.domain.delivery import Delivery
from shared.domain.names import StepRefs, delivery_branch, step_ref, task_branch
from shared.domain.statuses import TaskKind

_BRANCHES = "refs/heads/"


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """Of one attempt. What isn't named may be read and not changed."""

    pushes: frozenset[str] = frozenset()
    removes: frozenset[str] = frozenset()
    rewrites: bool = False
    """Whether it may push what doesn't follow what is there: an attempt's own branch is its own."""
    to_head: bool = False
    """Whether it may push to the branch at the repository's HEAD, too."""

    def with_head(self, branch: str | None) -> Rights:
        """These, once it is known which branch that is, if any."""
        more = {branch} if branch and self.to_head else set()
        return msgspec.structs.replace(self, pushes=self.pushes | more, to_head=False)

    def objections(self, commands: Sequence[Command]) -> dict[str, str]:
        """Why refs of a push may not be pushed, by their names; nothing: all may."""
        return {one.ref: why for one in commands if (why := self._objection(one))}

    def _objection(self, command: Command) -> str | None:
        if command.removes:
            return None if command.ref in self.removes else "this task may not remove it"
        if command.ref in self.pushes:
            return None
        own = ", ".join(sorted(self.pushes)[:2])
        return f"this task may push to {own} only" if own else "this task may push nothing"


def rights_of(task: GitTask, attempt: int) -> Rights:
    """Those of an attempt of a task."""
    if task.kind is TaskKind.STEP:
        return Rights(pushes=_wherever(task_branch(task.name, task.id, attempt)), rewrites=True)
    if task.kind is TaskKind.COMPLETION:
        return _of_delivery(task, task.delivery)
    return Rights()


def _of_delivery(task: GitTask, order: Delivery | None) -> Rights:
    if order is None:
        return Rights(pushes=frozenset({_BRANCHES + task.target_branch} if task.target_branch else ()))
    pushes = {_BRANCHES + (task.target_branch or delivery_branch(order.title, task.directive_id, order.round))}
    if order.merge_into_base and task.base_branch:
        pushes.add(_BRANCHES + task.base_branch)
    steps = (*order.steps, *order.earlier) if order.remove_branches else ()
    return Rights(
        pushes=frozenset(pushes),
        removes=frozenset().union(*(_wherever(step.branch) for step in steps if step.branch)),
        to_head=order.merge_into_base and not task.base_branch,
    )


def _wherever(branch: str) -> frozenset[str]:
    """The refs of a step's branch: where it lies is up to each daemon's settings."""
    return frozenset(step_ref(branch, where) for where in get_args(StepRefs))
