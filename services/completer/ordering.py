"""Rows of directives -> the tasks to insert: what is to be delivered, verified, looked at or resolved. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from services.completer import prompts
from services.completer.rows import DeliveryDue, LookDue, Step, Told, Unsettled
from shared.config import Settings
from shared.config.agents import DEFAULT_AGENTS
from shared.domain.delivery import Conflicted, Delivery, PullRequest, StepBranch
from shared.domain.delivery_outcomes import Situation
from shared.domain.forge import Forge, forge_of
from shared.domain.names import delivery_branch

NATIVE = "native"
LONGEST_TITLE = 256


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task to insert."""

    owner: UUID
    directive: UUID
    kind: str
    name: str
    target: str
    order: Delivery
    agent: str = NATIVE
    prompt: str = ""


def deliver(row: DeliveryDue, settings: Settings) -> Task:
    """The delivery of a row of `due`."""
    steps = row.steps
    left_out = set(row.left_out)
    over = row.pr_state in ("merged", "closed")
    number = row.pr_round + over
    # What a closed pull request held is in no branch that anybody will merge: it comes along again.
    again = row.pr_state == "closed"
    done = [s for s in steps if s.status == "completed" and s.branch and s.id not in left_out]
    forge = _forge(row, settings)
    order = Delivery(
        action="deliver",
        title=row.title,
        round=number,
        steps=tuple(_branch(s) for s in done if again or not s.delivered),
        earlier=tuple(_branch(s) for s in done if s.delivered and not again),
        heads=row.delivered_heads,
        strategy=settings.merge_strategy,
        merge_into_base=row.merge_into_base,
        check=row.check_command,
        without=row.left_out,
        forge=forge,
        pull_request=_pull_request(row, steps if again else _of_round(steps, number), settings),
        pr_url=row.pr_url,
        remove_branches=settings.remove_step_branches and forge is None and row.merge_into_base,
    )
    target = delivery_branch(row.title, row.id, number) if over or not row.pr_branch else row.pr_branch
    return Task(owner=row.owner_id, directive=row.id, kind="completion", name="deliver", target=target, order=order)


def look(row: LookDue, settings: Settings) -> Task:
    """The verification or the look of a row of `looks_due`."""
    verifying = row.action == "verify"
    order = Delivery(
        action=row.action,
        title=row.title,
        round=row.pr_round,
        steps=row.steps,
        strategy=settings.merge_strategy,
        forge=_forge(row, settings),
        heads=row.delivered_heads,
        pull_request=_pull_request(row, _of_round(row.all_steps or (), row.pr_round), settings) if verifying else None,
        pr_url=row.pr_url,
        etag=row.pr_etag,
        remove_branches=settings.remove_step_branches,
    )
    name = "verify" if verifying else "look at the pull request"
    return Task(
        owner=row.owner_id,
        directive=row.id,
        kind="verification",
        name=name,
        target=row.pr_branch or "",
        order=order,
    )


def resolve(row: Unsettled, order: Delivery, conflict: Conflicted, settings: Settings) -> Task:
    """The same delivery once more, with the directive's agent for what conflicts."""
    steps = row.steps
    return Task(
        owner=row.owner_id,
        directive=row.id,
        kind="completion",
        name="resolve and deliver",
        target=row.target_branch or "",
        order=order,
        agent=agent_of(row, settings),
        prompt=prompts.completion(title=row.title, goal=row.goal, conflict=conflict, steps=steps),
    )


def situation(row: Unsettled, order: Delivery, settings: Settings) -> Situation:
    """What of a row of `unsettled` decides what follows."""
    steps = row.steps
    dependents: dict[UUID, list[UUID]] = {}
    for step in steps:
        for need in step.depends_on:
            dependents.setdefault(need, []).append(step.id)
    return Situation(
        order=order,
        status=row.status,
        on_failure=row.on_failure,
        fixes=row.delivery_fixes,
        max_fixes=settings.max_delivery_fixes,
        can_judge=can_judge(agent_of(row, settings), settings),
        forge_expected=order.forge is not None,
        watched=settings.pull_request_watch,
        poll_seconds=settings.pull_request_poll_seconds,
        looks=row.pr_looks,
        pr_url=row.pr_url,
        etag=row.pr_etag,
        names={s.id: s.name for s in steps},
        dependents=dependents,
    )


def highest_index(row: Unsettled, steps: Sequence[UUID]) -> int:
    """The highest order_index of these steps: a step that depends on them may not lie lower."""
    return max((s.order_index for s in row.steps if s.id in steps), default=0)


def agent_of(row: Unsettled, settings: Settings) -> str:
    """The agent of a directive."""
    return row.agent or settings.agent


def can_judge(agent: str, settings: Settings) -> bool:
    """Whether an agent understands prose; a shell doesn't."""
    known = settings.agents.get(agent) or DEFAULT_AGENTS.get(agent)
    return known is None or known.kind != "shell"


def _of_round(steps: Sequence[Step], number: int) -> list[Step]:
    """The steps that a pull request tells of: not those that were delivered with an earlier one."""
    return [s for s in steps if not s.delivered or s.round in (None, number)]


def _branch(step: Step) -> StepBranch:
    return StepBranch(id=step.id, name=step.name, branch=step.branch or "", head=step.head, base=step.base)


def _pull_request(row: Told, steps: Sequence[Step], settings: Settings) -> PullRequest:
    return PullRequest(
        title=" ".join(row.title.split())[:LONGEST_TITLE],
        body=prompts.pull_request(
            goal=row.goal,
            steps=steps,
            left_out=row.left_out,
            orders=_served(steps, row.left_out),
            cost_usd=row.usd or 0.0 if settings.pull_request_cost else 0.0,
            tokens=row.tokens or 0 if settings.pull_request_cost else 0,
            seconds=row.seconds or 0.0 if settings.pull_request_cost else 0.0,
        ),
        draft=settings.pull_request_draft,
        labels=settings.pull_request_labels,
        reviewers=settings.pull_request_reviewers,
    )


def _served(steps: Sequence[Step], left_out: Sequence[UUID]) -> list[str]:
    """The titles of the orders that these steps serve, each once, the oldest first."""
    served = {order.id: order.title for step in steps if step.id not in left_out for order in step.orders}
    return [served[order] for order in sorted(served)]


def _forge(row: Told, settings: Settings) -> Forge | None:
    return forge_of(row.repository_url, settings.forges)
