"""What a directive, a step or a task waits for, in words, and what would move it on. Pure, from the deciding rules."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from shared.domain.readiness import Node, waits_for
from shared.domain.statuses import (
    DELIVERY_KINDS,
    LIVE_TASK,
    ON_A_DAEMON,
    DirectiveStatus,
    PauseCause,
    Refusal,
    StepStatus,
    TaskKind,
    TaskStatus,
)

MAX_NAMED = 3


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: what is waited for, and what moves it on (None: it goes on by itself)."""

    text: str
    fix: str | None = None
    output: str = ""
    """The end of what was printed where something failed."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task as it stands. `question` is the id of the one it waits for, `refused_for` why no daemon can take it."""

    id: UUID
    kind: TaskKind
    name: str
    status: TaskStatus
    attempt: int = 1
    step: UUID | None = None
    not_before: datetime | None = None
    cancel_asked: str | None = None
    refused_for: str | None = None
    refusal: Refusal | None = None
    """The kind of `refused_for`."""
    reason: str | None = None
    tail: str | None = None
    """The end of what its last attempt printed that failed or waits."""
    daemon: str | None = None
    question: UUID | None = None


class Step(Node, frozen=True, kw_only=True):
    """A step as it stands."""

    held_by: UUID | None = None
    removed_by: UUID | None = None
    skipped_for: UUID | None = None
    reason: str | None = None
    tail: str | None = None
    """The end of what its task printed, where it failed."""
    scripted: bool = False
    """Its task plan is the script that failed: no agent reads it."""


class Slots(msgspec.Struct, frozen=True, kw_only=True):
    """Where an owner's tasks may run: the daemons that take work, and their slots (makima.free_slots)."""

    daemons: int = 0
    capacity: int = 0
    running: int = 0
    max_running: int | None = None
    free: int = 0
    """How many more tasks they may take, within what the owner allows."""
    drained: tuple[str, ...] = ()
    """The daemons that are connected and take no more work, as somebody asked."""
    refusing: tuple[str, ...] = ()
    """Those that take no more though nobody asked for that, each with why."""
    lost: tuple[str, ...] = ()
    """Those that aren't connected."""
    spent_usd: float | None = None
    """What the owner has spent today, and"""
    max_usd: float | None = None
    """what it may a day: where it has spent that, and nothing starts before the next day."""


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """A directive with all that decides what it waits for: its steps, its live tasks, and its owner's slots."""

    id: UUID
    status: DirectiveStatus
    pause_reason: str | None = None
    paused_for: PauseCause | None = None
    awaited_plan: UUID | None = None
    awaited: tuple[UUID, ...] = ()
    """The tasks whose steps and removals wait for approval."""
    failures_pass: bool = False
    """Its policy is `continue`: a failed step doesn't hold back a higher order_index."""
    max_parallel: int = 4
    requests: Sequence[str] = ()
    """Why planning is due."""
    delivered_to: str | None = None
    delivery_outcome: str | None = None
    """What came of its newest delivery or look at its pull request."""
    delivery_output: str | None = None
    """The end of what the check printed, where its newest delivery broke on it."""
    undelivered: bool = False
    """A completed step is to be delivered."""
    steps: Mapping[UUID, Step] = {}
    tasks: Sequence[Task] = ()
    slots: Slots = Slots()
    now: datetime


def directive(scene: Scene) -> Why:
    """Why a directive stands where it does."""
    match scene.status:
        case DirectiveStatus.DRAFT:
            return Why(text="it is a draft", fix=f"makima directive start {scene.id}")
        case DirectiveStatus.PAUSED:
            text = f"it is paused: {scene.pause_reason or 'no reason given'}"
            return Why(text=text, fix=settling(scene), output=_printed(scene))
        case DirectiveStatus.AWAITING_APPROVAL:
            plan = scene.awaited_plan is not None or not scene.awaited
            return Why(text=awaiting(plan), fix=settling(scene))
        case DirectiveStatus.ARCHIVED:
            return Why(text="it is archived: nothing of it runs any more")
        case DirectiveStatus.COMPLETED:
            where = f"delivered to {scene.delivered_to}" if scene.delivered_to else None
            outcome = scene.delivery_outcome or where
            return Why(text="it is completed" + (f": {outcome}" if outcome else ""))
        case DirectiveStatus.IDLE:
            return _idle(scene)
        case DirectiveStatus.ACTIVE:
            return _active(scene)


def awaiting(plan: bool) -> str:
    """What waits for approval in a directive: its plan, or else work that its steps found."""
    return f"{'its plan' if plan else 'work that its steps found'} waits for approval"


def step(scene: Scene, one: Step) -> Why:
    """Why a step stands where it does."""
    live = next((t for t in scene.tasks if t.step == one.id and t.status in LIVE_TASK), None)
    if one.held_by is not None:
        return _held(scene, "it is a part of", one.held_by)
    if one.removed_by is not None:
        return _held(scene, "it is to be removed by", one.removed_by)
    match one.status:
        case StepStatus.COMPLETED:
            return Why(text="it is completed")
        case StepStatus.SKIPPED:
            fix = f"makima directive retry-step {one.skipped_for}" if one.skipped_for else None
            return Why(text=f"it was skipped: {one.reason or 'by a person'}", fix=fix)
        case StepStatus.FAILED:
            return Why(text=f"it failed: {one.reason or 'no reason given'}", fix=_ways_past(one), output=one.tail or "")
        case StepStatus.PENDING:
            return _pending(scene, one)
    if live is not None:
        return task(scene, live)
    if scene.status is not DirectiveStatus.ACTIVE:
        return _inactive(scene)
    return _undispatched(scene, TaskKind.STEP) or Why(text="it is ready: it is dispatched in a moment")


def task(scene: Scene, one: Task) -> Why:
    """Why a task stands where it does."""
    match one.status:
        case TaskStatus.COMPLETED:
            return Why(text="it is completed")
        case TaskStatus.FAILED | TaskStatus.CANCELLED:
            ended = "failed" if one.status is TaskStatus.FAILED else "was cancelled"
            return Why(text=f"it {ended}: {one.reason or '-'}", output=one.tail or "")
    if one.cancel_asked is not None:
        return Why(text=f"its end was asked for ({one.cancel_asked}), and is waited for")
    match one.status:
        case TaskStatus.PAUSED:
            fix = f"makima answer {one.question} TEXT" if one.question else "makima questions"
            return Why(text="its agent waits for an answer", fix=fix)
        case TaskStatus.RUNNING:
            return Why(text=f"it runs on {one.daemon or 'a daemon'}, attempt {one.attempt}{_after_the_last(one)}")
        case TaskStatus.STARTING if not one.refused_for:
            what = "it was sent to a daemon, which gets it ready, or has not taken it yet and is sent it again"
            return Why(text=f"{what}{_after_the_last(one)}")
    if not one.refused_for and one.not_before is not None and one.not_before > scene.now:
        after = f" after: {one.reason}" if one.reason else ""
        return Why(text=f"it backs off until {_when(one.not_before, scene.now)}{after}", output=one.tail or "")
    if scene.status is not DirectiveStatus.ACTIVE and not _is_delivery(one):
        return _inactive(scene)
    if one.refused_for:
        return refused(one, scene.slots, scene.id)
    return _undispatched(scene, one.kind) or Why(text="it is due: it is dispatched in a moment")


def _offering(one: Task, directive: UUID | int | None) -> str:
    """How a daemon comes to what no daemon offers, or the step to ask for something else."""
    match one.refusal:
        case Refusal.LABELS:
            how, otherwise = "add it to the setting labels of a daemon (MAKIMA_LABELS)", "--label NAME"
        case Refusal.AGENT:
            how, otherwise = "add it to the machine of a daemon (makima doctor)", "--agent NAME"
        case _:
            return "makima daemon list"
    if one.kind is TaskKind.PLAN and one.refusal is Refusal.AGENT:
        return f"makima directive update {directive} --agent NAME, or {how}"
    other = f"makima directive edit-step {one.step} {otherwise}"
    return f"{how}, or {other}" if one.step is not None else f"{how}; makima daemon list shows what each offers"


def _printed(scene: Scene) -> str:
    """The end of what was printed where a directive came to its pause: by a delivery, a step, or a task that waits."""
    match scene.paused_for:
        case PauseCause.DELIVERY:
            return scene.delivery_output or ""
        case PauseCause.FAILURE | PauseCause.STUCK:
            return next((s.tail for s in scene.steps.values() if s.status is StepStatus.FAILED and s.tail), "")
        case PauseCause.BLOCKED:
            return next((t.tail for t in scene.tasks if t.status in LIVE_TASK and t.tail), "")
        case _:
            return ""


def _when(at: datetime, now: datetime) -> str:
    """A time, with its day where that isn't today.

    >>> _when(datetime(2026, 12, 1, 9), datetime(2026, 11, 30, 10))
    'Dec 1, 09:00:00 UTC'
    """
    day = "" if at.date() == now.date() else f"{at:%b} {at.day}, "
    return f"{day}{at:%H:%M:%S} UTC"


def _after_the_last(one: Task) -> str:
    return f"; its last attempt ended: {one.reason}" if one.attempt > 1 and one.reason else ""


def settling(scene: Scene) -> str | None:
    """The command by which a person settles what a paused or waiting directive waits for."""
    this = scene.id
    if scene.status is DirectiveStatus.AWAITING_APPROVAL:
        return approving(this)
    if scene.status is not DirectiveStatus.PAUSED:
        return None
    failed = next((s for s in scene.steps.values() if s.status is StepStatus.FAILED), None)
    match scene.paused_for:
        case PauseCause.FAILURE | PauseCause.STUCK if failed is not None:
            return _ways_past(failed)
        case PauseCause.FAILURE | PauseCause.STUCK | PauseCause.PLANNING:
            return f"makima directive replan {this} --reason WHY, or makima directive goal {this} TEXT"
        case PauseCause.BUDGET:
            return f"makima directive update {this} --budget-usd, --max-tokens or --deadline, with more or none"
        case PauseCause.DELIVERY | None if not scene.undelivered:
            if failed is not None:
                return f"makima directive retry-step {failed.id}, or makima directive goal {this} TEXT"
            return f"makima directive goal {this} TEXT, or makima directive update {this} --status completed"
        case _:
            return f"makima directive resume {this}"


def _ways_past(failed: Step) -> str:
    """The commands by which a person goes on past a step that failed."""
    ways = [f"makima directive retry-step {failed.id}", f"makima directive skip-step {failed.id}"]
    if failed.scripted:
        ways.append(f"makima directive edit-step {failed.id} --task-plan SCRIPT")
    return ", or ".join(ways)


def approving(directive: UUID | str) -> str:
    """The commands by which a person settles what waits for approval."""
    return f"makima directive approve {directive}, or makima directive reject {directive} --reason WHY"


def _idle(scene: Scene) -> Why:
    for one in scene.tasks:
        if _is_delivery(one) and one.status in LIVE_TASK:
            return _prefixed("it is being delivered: ", task(scene, one))
    if scene.undelivered:
        return Why(text="all its steps have ended: its delivery is due in a moment")
    where = f" ({scene.delivered_to})" if scene.delivered_to else ""
    return Why(text=f"it is delivered, and waits for its pull request{where}")


def _active(scene: Scene) -> Why:
    live = [t for t in scene.tasks if t.status in LIVE_TASK]
    for one in live:
        if one.kind is TaskKind.PLAN:
            return _prefixed("it is being planned: ", task(scene, one))
    if running := [t for t in live if t.status in ON_A_DAEMON and t.status is not TaskStatus.PAUSED]:
        if len(running) == 1:
            return _prefixed(f"{running[0].name!r}: ", task(scene, running[0]))
        return Why(text=f"{len(running)} of its tasks run: {_names([t.name for t in running])}")
    for one in live:
        return _prefixed(f"{one.name!r}: ", task(scene, one))
    if scene.requests:
        return Why(text=f"planning is due ({', '.join(dict.fromkeys(scene.requests))}): it begins in a moment")
    for status in (StepStatus.READY, StepStatus.RUNNING, StepStatus.PENDING):
        for candidate in scene.steps.values():
            if candidate.status is status and candidate.held_by is None:
                return _prefixed(f"step {candidate.name!r}: ", step(scene, candidate))
    if not scene.steps:
        return Why(text="it has no steps", fix=f"makima directive replan {scene.id}")
    return Why(text="all its steps have ended: it becomes idle in a moment")


def _pending(scene: Scene, one: Step) -> Why:
    in_force = {key: s for key, s in scene.steps.items() if s.held_by is None}
    blocking = [s for s in waits_for(one, in_force) if isinstance(s, Step)]
    if scene.failures_pass:
        needs = set(one.depends_on)
        blocking = [s for s in blocking if s.status is not StepStatus.FAILED or s.id in needs]
    skipped = [scene.steps[n] for n in one.depends_on if n in scene.steps and scene.steps[n].skipped_for is not None]
    if blocking or skipped:
        named = [f"{s.name!r}, which {_standing(s.status)}" for s in [*blocking, *skipped]]
        stuck = next((s for s in blocking if s.status is StepStatus.FAILED), None)
        return Why(text=f"it waits for {_names(named)}", fix=_ways_past(stuck) if stuck else None)
    if scene.status is not DirectiveStatus.ACTIVE:
        return _inactive(scene)
    return Why(text="nothing holds it back: it becomes ready in a moment")


def _held(scene: Scene, what: str, planning: UUID) -> Why:
    if planning == scene.awaited_plan:
        return Why(text=f"{what} a plan that waits for approval", fix=settling(scene) or f"makima why {scene.id}")
    if planning in scene.awaited:
        return Why(text=f"{what} the work that a step found, which waits for approval", fix=approving(scene.id))
    return Why(text=f"{what} a plan that is being made, and comes into force when its planning ends well")


def _inactive(scene: Scene) -> Why:
    return _prefixed("its directive is not active: ", directive(scene))


def unable(slots: Slots) -> Why | None:
    """Why nothing at all may start, if so, and what would change that."""
    if slots.spent_usd is not None and slots.max_usd is not None:
        spent = f"its owner has spent ${slots.spent_usd:.2f} today, and may spend ${slots.max_usd:.2f} a day"
        return Why(text=f"{spent}: it goes on at 00:00 UTC", fix="makima owner set OWNER --max-cost-usd-a-day USD")
    if slots.daemons:
        return None
    if slots.drained:
        commands = " && ".join(f"makima daemon drain {shlex.quote(name)} --off" for name in slots.drained[:MAX_NAMED])
        every = "every connected daemon is drained" if not slots.refusing else "no connected daemon takes work"
        said = [f"{name} is drained" for name in slots.drained] if slots.refusing else slots.drained
        return Why(text=f"{every}: {'; '.join([*slots.refusing, _names(said)])}", fix=commands)
    if slots.refusing:
        return Why(text=f"no connected daemon takes more work: {'; '.join(slots.refusing)}", fix="makima daemon list")
    gone = f" ({_names(slots.lost)} gone)" if slots.lost else ""
    return Why(text=f"no daemon is connected{gone}", fix="makima daemon run")


def refused(one: Task, slots: Slots, directive: UUID | int | None) -> Why:
    """Why a task that no daemon has taken can't be sent, and what would change that."""
    if one.refusal in (Refusal.DRAINING, Refusal.NO_DAEMON) and (why := unable(slots)) is not None:
        return _prefixed("it can't be sent: ", why)
    if one.refusal is Refusal.SLOTS:
        return Why(text=f"it can't be sent: {one.refused_for}", fix="makima daemon run, for more")
    return Why(text=f"it can't be sent: {one.refused_for}", fix=_offering(one, directive))


def _undispatched(scene: Scene, kind: TaskKind) -> Why | None:
    """Why nothing can be sent to a daemon now, if so."""
    slots = scene.slots
    if (nowhere := unable(slots)) is not None:
        return nowhere
    if slots.free <= 0:
        if slots.max_running is not None and slots.max_running <= slots.capacity:
            return Why(text=f"{slots.running} of {slots.max_running} tasks run that this owner may run at once")
        return Why(text=f"{slots.running} of {slots.capacity} slots are taken", fix="makima daemon run, for more")
    here = sum(t.status in ON_A_DAEMON for t in scene.tasks)
    if kind is TaskKind.STEP and here >= scene.max_parallel:
        fix = f"makima directive update {scene.id} --max-parallel N"
        return Why(text=f"{here} of the {scene.max_parallel} tasks run that the directive may run at once", fix=fix)
    return None


def _is_delivery(one: Task) -> bool:
    return one.kind in DELIVERY_KINDS


def _standing(status: StepStatus) -> str:
    verb = {StepStatus.RUNNING: "runs", StepStatus.FAILED: "failed", StepStatus.SKIPPED: "was skipped for a failure"}
    return verb.get(status, f"is {status}")


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def _prefixed(before: str, why: Why) -> Why:
    return Why(text=before + why.text, fix=why.fix)
