"""The planner's prompts: a template each, rendered by a pure function of typed arguments."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from shared.domain.statuses import SETTLED_STEP, StepStatus
from shared.domain.texts import cut, one_line
from shared.service.prompts import templates

NEWEST_TERMINAL = 50
"""Terminal steps that are listed; older ones are summed up by count."""
MAX_LIVE = 200
STEP_TEXT_BYTES = 24 << 10
"""Bytes for the descriptions and reasons of all listed steps together, so that a prompt stays under 64 KiB."""
NAME_BYTES = 80
EARLIER_GOALS = 3
EARLIER_GOAL_BYTES = 4 << 10
MAX_ORDERS = 50
MAX_SERVED = 5
"""Orders that are named with a failed step."""
ORDER_BYTES = 1000
LABELS_BYTES = 1000


class EarlierGoal(msgspec.Struct, frozen=True, kw_only=True):
    """A goal that was replaced."""

    text: str
    replaced_at: datetime


class ExistingStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the directive, oldest first in lists."""

    id: UUID
    name: str
    status: StepStatus
    description: str = ""
    reason: str | None = None
    outcome: str = ""
    files: tuple[str, ...] = ()
    """Which it changed, the first of `all_files`."""
    all_files: int = 0
    commits: tuple[str, ...] = ()
    """The subjects of its newest commits."""
    serves: tuple[str, ...] = ()
    """The orders that one serves which may be removed, each with its id and title."""


class OpenOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is to be served."""

    id: UUID
    title: str
    priority: str
    order_type: str
    description: str = ""


class Planning(msgspec.Struct, frozen=True, kw_only=True):
    """All that a planning agent is told. `generation` is the one that its steps will carry."""

    title: str
    goal: str
    repository: str | None
    generation: int
    reasons: frozenset[str] = frozenset({"goal"})
    wishes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    earlier_goals: tuple[EarlierGoal, ...] = ()
    steps: tuple[ExistingStep, ...] = ()
    orders: tuple[OpenOrder, ...] = ()
    max_parallel: int = 4
    agents: tuple[str, ...] = ()
    """Which its steps may choose, besides the directive's own."""
    labels: tuple[str, ...] = ()
    """What daemons offer, that steps may ask for."""


class _Listed(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    name: str
    text: str
    changed: str = ""
    commits: str = ""
    serves: list[str] = []


class _Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The existing steps as the template lists them."""

    completed: list[_Listed]
    running: list[_Listed]
    waiting: list[_Listed]
    failed: list[_Listed]
    skipped: list[_Listed]
    unlisted: list[tuple[str, int]]

    @property
    def live(self) -> bool:
        return bool(self.running or self.waiting)

    @property
    def serving(self) -> bool:
        """Whether one that may be removed serves an order."""
        return any(step.serves for step in self.removable)

    @property
    def removable(self) -> list[_Listed]:
        return self.failed + self.waiting + self.skipped

    @property
    def remove_example(self) -> str:
        return shlex.join(["makima", "directive", "remove-step", str(self.removable[0].id)])


class _Commands(msgspec.Struct, frozen=True, kw_only=True):
    """The worked examples, each a line that a shell takes as it stands."""

    add_step: str
    batch: str
    batch_file: str
    add_serving: str
    serve: str


_WHY = {
    "goal": "the goal was set or changed",
    "orders": "orders are to be picked up",
    "failure": "steps failed for good",
    "user": "a person asked for it",
}

_templates = templates("services.planner")


def render(planning: Planning) -> str:
    """The prompt of a planning: a first plan, a pick-up of orders alone, or a re-plan."""
    if planning.reasons == {"orders"} and planning.orders:
        name = "orders.md.j2"
    else:
        name = "replan.md.j2" if planning.steps else "plan.md.j2"
    return _templates.get_template(name).render(
        title=one_line(planning.title),
        repository=one_line(planning.repository or "none: steps run in empty folders"),
        goal=planning.goal,
        generation=planning.generation,
        reasons=[_WHY[r] for r in _WHY if r in planning.reasons],
        wishes=planning.wishes,
        failures=planning.failures,
        goal_changed="goal" in planning.reasons,
        earlier_goals=[
            {"text": cut(g.text, EARLIER_GOAL_BYTES), "replaced_at": f"{g.replaced_at:%Y-%m-%d %H:%M}"}
            for g in planning.earlier_goals[:EARLIER_GOALS]
        ],
        orders=[_order(o) for o in planning.orders[:MAX_ORDERS]],
        standing=_standing(planning.steps),
        commands=_commands(planning.generation, planning.orders),
        max_parallel=planning.max_parallel,
        agents=", ".join(one_line(name) for name in planning.agents),
        labels=cut(", ".join(one_line(name) for name in planning.labels), LABELS_BYTES),
    )


def _order(order: OpenOrder) -> OpenOrder:
    return msgspec.structs.replace(
        order, title=cut(one_line(order.title), 200), description=cut(order.description, ORDER_BYTES)
    )


def _standing(steps: Sequence[ExistingStep]) -> _Standing:
    terminal = [s for s in steps if s.status in SETTLED_STEP]
    dropped = terminal[:-NEWEST_TERMINAL]
    unlisted = {s.id for s in dropped}
    live = [s for s in steps if s.status not in SETTLED_STEP]
    unlisted |= {s.id for s in live[MAX_LIVE:]}
    listed = [s for s in steps if s.id not in unlisted]
    budget = min(STEP_TEXT_BYTES // max(len(listed), 1), 1500)
    counts: dict[str, int] = {}
    for step in steps:
        if step.id in unlisted:
            counts[step.status] = counts.get(step.status, 0) + 1

    def of(*statuses: StepStatus) -> list[_Listed]:
        return [_listed(s, budget) for s in listed if s.status in statuses]

    return _Standing(
        completed=of(StepStatus.COMPLETED),
        running=of(StepStatus.RUNNING),
        waiting=of(StepStatus.PENDING, StepStatus.READY),
        failed=of(StepStatus.FAILED),
        skipped=of(StepStatus.SKIPPED),
        unlisted=sorted(counts.items()),
    )


def _listed(step: ExistingStep, budget: int) -> _Listed:
    """A step with its description, and with what failed or came out of it, in at most `room` bytes."""
    last = f"failed: {step.reason}" if step.status is StepStatus.FAILED and step.reason else step.outcome
    parts = [
        cut(step.description, budget * 2 // 3 if last else budget),
        cut(last, budget // 3 if step.description else budget),
    ]
    changed = ", ".join(one_line(f) for f in step.files)
    if step.all_files > len(step.files):
        changed += f" and {step.all_files - len(step.files)} more"
    return _Listed(
        id=step.id,
        name=cut(one_line(step.name), NAME_BYTES),
        text="\n".join(p for p in parts if p),
        changed=cut(changed, budget // 3),
        commits=cut("; ".join(one_line(c) for c in step.commits), budget // 3),
        serves=[cut(one_line(order), 200) for order in step.serves[:MAX_SERVED]],
    )


def _commands(generation: int, orders: Sequence[OpenOrder]) -> _Commands:
    add = ["makima", "directive", "add-step"]
    carry = ["--generation", str(generation)]
    batch = [
        {"name": "Add the parser", "description": "Parses X; its tests pass", "task_plan": "In src/parser.py: ..."},
        {"name": "Use the parser", "task_plan": "In src/main.py: ...", "depends_on": ["Add the parser"]},
        {"name": "Document it", "task_plan": "In README.md: ...", "depends_on": [1], "files": ["README.md"]},
    ]
    lexer = ["--task-plan", "In src/lexer.py: ...", "--file", "src/lexer.py", "--order-index", "0"]
    serving = ["--order", str(orders[0].id)] if orders else []
    return _Commands(
        add_step=shlex.join([*add, "Add a lexer", "--description", "Splits X into tokens", *lexer, *carry]),
        batch=shlex.join(["makima", "directive", "batch-add-steps", "--json", msgspec.json.encode(batch).decode()]),
        batch_file="makima directive batch-add-steps --json @steps.json",
        serve=shlex.join(["makima", "order", "link", str(orders[0].id) if orders else "ORDER", "--step", "STEP"]),
        add_serving=shlex.join([*add, "Fix the crash", "--task-plan", "In src/main.py: ...", *serving, *carry]),
    )
