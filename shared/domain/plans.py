"""Plans as people and agents submit them, and what makes one valid (rule 2)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from uuid import UUID

import msgspec

LONGEST_NAME = 200
MAX_STEPS = 5000
MAX_LABELS = 20
RESERVED_AGENTS = ("native",)
"""What carries out deliveries: no agent that anybody may choose."""
MAX_TEXT_BYTES = 500_000
"""Of a goal, or of one step's texts together: its command has to fit in one message, with what its prompt adds."""


SPELLINGS = {"taskPlan": "task_plan", "dependsOn": "depends_on", "orderIndex": "order_index", "orderIds": "orders"}
"""Other names of a step's keys, which are taken in their place."""


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a plan, by the keys that it is shown and exported with. depends_on takes ids, names or positions
    (from 0)."""

    name: str
    description: str = ""
    task_plan: str = ""
    depends_on: tuple[str | int, ...] = ()
    order_index: int = 0
    generation: int | None = None
    files: tuple[str, ...] = ()
    orders: tuple[UUID, ...] = ()
    agent: str | None = None
    """Who works on it, instead of the directive's agent."""
    model: str | None = None
    """Which model that agent uses, instead of the one of its settings."""
    labels: tuple[str, ...] = ()
    """What the daemon that runs it has to offer."""


class PlanRefused(ValueError):
    """A plan that is invalid: which item, what is wrong, and what would fix it."""


_POSITION = re.compile(r"[0-9]{1,9}")
"""A step of the batch by its place, written as text: of any other digits `int` makes other numbers, or none."""
_FENCED = re.compile(r"^```sh[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


def scripts(text: str) -> list[str]:
    """The fenced sh blocks of a text: what the shell agent can plan with.

    >>> scripts("Plan it:\\n```sh\\nmakima --help\\n```")
    ['makima --help\\n']
    """
    return [str(block) for block in _FENCED.findall(text)]


def resolve(plan: Sequence[PlannedStep], existing: Mapping[UUID, str], ids: Sequence[UUID]) -> list[tuple[UUID, ...]]:
    """Each planned step's dependencies as ids, in the order given, doubles dropped.

    `existing` maps the directive's steps to their names, `ids` are those of the planned steps. A name of the
    batch is preferred to an earlier step's of the same name.
    Raises PlanRefused on an empty or doubled name, an unknown or ambiguous dependency, or a cycle, which it names.
    """
    if not plan:
        raise PlanRefused("the plan holds no steps: add at least one under `steps`")
    if len(plan) > MAX_STEPS:
        raise PlanRefused(f"the plan holds {len(plan)} steps: at most {MAX_STEPS} go in one batch")
    named: dict[str, UUID] = {}
    for position, (step, step_id) in enumerate(zip(plan, ids, strict=True)):
        check_step(
            f"steps[{position}]"
            + (f" ({step.name!r})" if step.name.strip() and len(step.name) <= LONGEST_NAME else ""),
            step,
        )
        if step.name in named:
            raise PlanRefused(f"steps[{position}]: the name {step.name!r} is taken twice; give each step its own")
        named[step.name] = step_id
    earlier: dict[str, list[UUID]] = {}
    for step_id, name in existing.items():
        earlier.setdefault(name, []).append(step_id)
    resolved = [
        tuple(dict.fromkeys(_dependency(at, step, ref, named, earlier, existing, ids) for ref in step.depends_on))
        for at, step in enumerate(plan)
    ]
    _refuse_cycles(plan, resolved, ids)
    return resolved


def check_step(where: str, step: PlannedStep) -> None:
    """Raise PlanRefused for what no step can have: texts that can't be kept, an agent or labels that can't be."""
    texts = (step.name, step.description, step.task_plan, *step.files)
    if not step.name.strip():
        raise PlanRefused(f"{where}: `name` is empty; say in a few words what the step does")
    if len(step.name) > LONGEST_NAME:
        raise PlanRefused(f"{where}: `name` has {len(step.name)} characters; at most {LONGEST_NAME}")
    if (size := sum(len(text.encode()) for text in texts)) > MAX_TEXT_BYTES:
        raise PlanRefused(
            f"{where}: its texts have {size} bytes, at most {MAX_TEXT_BYTES}; "
            f"commit what is long to the repository, and name its path"
        )
    if any("\0" in text for text in texts):
        raise PlanRefused(f"{where}: a text holds a NUL byte; remove it")
    if not -(2**31) <= step.order_index < 2**31:
        raise PlanRefused(f"{where}: `order_index` {step.order_index} is out of range")
    _check_choices(where, step)


def _check_choices(where: str, step: PlannedStep) -> None:
    if step.agent in RESERVED_AGENTS:
        raise PlanRefused(f"{where}: `agent` {step.agent!r} is makima's own; name another, or leave it out")
    if len(step.labels) > MAX_LABELS:
        raise PlanRefused(f"{where}: `labels` holds {len(step.labels)} of them; at most {MAX_LABELS}")
    named = [("agent", step.agent), ("model", step.model), *(("labels", label) for label in step.labels)]
    for key, text in named:
        if text is not None and (not text.strip() or not text.isprintable() or len(text) > LONGEST_NAME):
            raise PlanRefused(f"{where}: `{key}` {text[:40]!r} is empty, too long or not printable; give a name")


def _dependency(
    position: int,
    step: PlannedStep,
    ref: str | int,
    named: Mapping[str, UUID],
    earlier: Mapping[str, Sequence[UUID]],
    existing: Mapping[UUID, str],
    ids: Sequence[UUID],
) -> UUID:
    where = f"steps[{position}] ({step.name!r})"
    if isinstance(ref, int):
        if 0 <= ref < len(ids):
            return ids[ref]
        raise PlanRefused(f"{where}: depends_on position {ref} is outside the batch (0 to {len(ids) - 1})")
    if ref in named:
        return named[ref]
    same_name = earlier.get(ref, ())
    if len(same_name) == 1:
        return same_name[0]
    if len(same_name) > 1:
        raise PlanRefused(f"{where}: depends_on {ref!r} names {len(same_name)} steps; give the id of one")
    try:
        if (step_id := UUID(ref)) in existing:
            return step_id
    except ValueError:
        if _POSITION.fullmatch(ref) and int(ref) < len(ids):
            return ids[int(ref)]
    raise PlanRefused(f"{where}: depends_on {ref!r} is no step of this directive nor of this batch")


def _refuse_cycles(plan: Sequence[PlannedStep], resolved: Sequence[tuple[UUID, ...]], ids: Sequence[UUID]) -> None:
    names = dict(zip(ids, (s.name for s in plan), strict=True))
    try:
        TopologicalSorter(dict(zip(ids, resolved, strict=True))).prepare()
    except CycleError as error:
        cycle = list(error.args[1])
        raise PlanRefused("the plan has a cycle: " + " -> ".join(names[i] for i in reversed(cycle))) from None
    order = dict(zip(ids, (s.order_index for s in plan), strict=True))
    for at, (step, dependencies) in enumerate(zip(plan, resolved, strict=True)):
        for dependency in dependencies:
            if dependency in order and order[dependency] > step.order_index:
                raise PlanRefused(
                    f"steps[{at}] ({step.name!r}): has order_index {step.order_index} but depends on "
                    f"{names[dependency]!r} of order_index {order[dependency]}, so neither could ever start"
                )
