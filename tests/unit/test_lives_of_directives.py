"""Random lives of a directive by the pure rules: plans, reports of any daemon on any attempt, losses, new goals.

The model beside them is simple: which step needs which, who was started and holds an attempt, and how it ended.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from uuid import UUID

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.monitor.decisions import Decision, Known, decide, lost
from shared.domain import readiness
from shared.domain.ids import uuid7
from shared.domain.outcomes import Live
from shared.domain.plans import PlannedStep, resolve
from shared.domain.policies import OnFailure, Rounds, after_cancel, after_failure
from shared.domain.readiness import Node
from shared.domain.retry import MAX_LOSSES
from shared.domain.statuses import ENDED_TASK, LIVE_TASK, ON_A_DAEMON, StepStatus, TaskKind, TaskStatus
from shared.messages.identities import DaemonOf
from shared.messages.reports import Report, TaskAccepted, TaskFailed, TaskInterrupted, TaskStarted, TaskSucceeded
from tests import oracle

SHAPES = st.lists(st.tuples(st.lists(st.integers(0, 20), max_size=3), st.integers(0, 2)), min_size=1, max_size=6)
DAEMONS = st.sampled_from(["d1", "d2", "d3"])
SAYS: tuple[Callable[[UUID, int], Report], ...] = (
    lambda task, attempt: TaskAccepted(seq=1, task=task, attempt=attempt),
    lambda task, attempt: TaskStarted(seq=1, task=task, attempt=attempt, branch="b"),
    lambda task, attempt: TaskSucceeded(seq=1, task=task, attempt=attempt, branch="b"),
    lambda task, attempt: TaskFailed(seq=1, task=task, attempt=attempt, reason="wrong"),
    lambda task, attempt: TaskInterrupted(seq=1, task=task, attempt=attempt, reason="restarted"),
    lambda task, attempt: TaskInterrupted(seq=1, task=task, attempt=attempt, reason="asked", cancelled=True),
)


class Lives(RuleBasedStateMachine):
    """One directive; every rule is something that happens to it."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = count(1)
        self.steps: dict[UUID, Node] = {}
        self.tasks: dict[UUID, Known] = {}
        self.holders: dict[tuple[UUID, int], str] = {}
        self.started: dict[UUID, set[UUID]] = {}
        """By step: the tasks that were started for it."""
        self.plans_due = 0
        self.replans = 0
        self.paused: str | None = None

    def new_id(self) -> UUID:
        return uuid7(next(self.numbers), bytes(10))

    @initialize(shape=SHAPES, policy=st.sampled_from(OnFailure), attempts=st.integers(1, 3))
    def begin(self, shape: list[tuple[list[int], int]], policy: OnFailure, attempts: int) -> None:
        self.policy, self.attempts = policy, attempts
        self.add(shape)

    @rule(shape=SHAPES)
    def add(self, shape: list[tuple[list[int], int]]) -> None:
        """A person or a plan adds steps, which need earlier ones of the same batch."""
        if len(self.steps) > 25:
            return
        ids = [self.new_id() for _ in shape]
        planned: list[PlannedStep] = []
        for at, (step, (wanted, index)) in enumerate(zip(ids, shape, strict=True)):
            needs = [planned[n % at] for n in wanted] if at else []
            planned.append(
                PlannedStep(
                    name=f"s{step.hex[:12]}",
                    depends_on=tuple(n.name for n in needs),
                    order_index=max([index, *(n.order_index for n in needs)]),
                )
            )
        existing = {s.id: s.name for s in self.steps.values()}
        for step, plan, needed in zip(ids, planned, resolve(planned, existing, ids), strict=True):
            self.steps[step] = Node(
                id=step,
                name=plan.name,
                status=StepStatus.PENDING,
                order_index=plan.order_index,
                depends_on=needed,
            )
        self.paused = None
        self.sweep()

    @rule()
    def change_goal(self) -> None:
        """Planning is due."""
        self.plans_due, self.replans, self.paused = 1, 0, None
        self.sweep()

    @precondition(lambda self: self.plans_due and self.paused is None)
    @rule(shape=SHAPES, good=st.booleans())
    def plan(self, shape: list[tuple[list[int], int]], good: bool) -> None:
        """A planning ends: it replaces what failed and what has not begun; or it failed, and all is paused."""
        self.plans_due = 0
        if not good:
            self.paused = "planning failed"
            return
        kept = {StepStatus.COMPLETED, StepStatus.SKIPPED, StepStatus.RUNNING}
        self.steps = {i: s for i, s in self.steps.items() if s.status in kept or self.live_tasks(i)}
        here = frozenset(self.steps)
        self.steps = {
            i: msgspec.structs.replace(s, depends_on=tuple(d for d in s.depends_on if d in here))
            for i, s in self.steps.items()
        }
        self.add(shape)

    @precondition(lambda self: self.paused is None)
    @rule()
    def dispatch(self) -> None:
        """The executor: whatever waits for its next attempt, and ready steps without a live task."""
        for task in list(self.tasks.values()):
            if task.live.status is TaskStatus.PENDING:
                live = msgspec.structs.replace(task.live, status=TaskStatus.STARTING)
                self.tasks[task.id] = msgspec.structs.replace(task, live=live)
        for step in self.steps.values():
            if step.status is StepStatus.READY and not self.live_tasks(step.id):
                self.assert_may_start(step)
                live = Live(status=TaskStatus.STARTING, attempt=1, max_attempts=self.attempts)
                task = Known(id=self.new_id(), directive=UUID(int=1), step=step.id, kind=TaskKind.STEP, live=live)
                self.tasks[task.id] = task
                self.started.setdefault(step.id, set()).add(task.id)

    @precondition(lambda self: self.tasks)
    @rule(
        chosen=st.integers(0, 100),
        says=st.lists(st.tuples(DAEMONS, st.integers(-1, 0), st.sampled_from(SAYS)), min_size=1, max_size=4),
    )
    def hear(self, chosen: int, says: list[tuple[str, int, Callable[[UUID, int], Report]]]) -> None:
        """A batch of reports on one task: of whoever has the attempt, or of a zombie."""
        task = self.choose(chosen)
        batch = [(DaemonOf("", daemon), say(task.id, max(task.live.attempt + back, 1))) for daemon, back, say in says]
        decided, refused = decide(batch, {task.id: task}, {}, [0.5] * len(batch))
        for decision in decided.values():
            assert decision.daemon is not None
            holder = self.holders.setdefault((task.id, decision.attempt), decision.daemon)
            assert decision.daemon == holder, "an attempt of two daemons"
            assert decision.attempt == task.live.attempt, "an attempt that is over was heard"
            self.write(decision)
        if task.live.status in ENDED_TASK:
            assert not decided, "an ended task went on"
        elif task.live.daemon is not None:
            strangers = {d.name for d, _ in batch if d.name != task.live.daemon}
            assert strangers <= {d.name for d, _ in refused}, "a stranger was not refused"

    @precondition(lambda self: any(t.live.status in ON_A_DAEMON for t in self.tasks.values()))
    @rule(chosen=st.integers(0, 100))
    def lose(self, chosen: int) -> None:
        """A lease runs out."""
        held = [t for t in self.tasks.values() if t.live.status in ON_A_DAEMON]
        self.write(lost(held[chosen % len(held)]))

    def write(self, decision: Decision) -> None:
        """The monitor: the task, its step, and what follows from a failure."""
        task, verdict = decision.task, decision.verdict
        daemon = None if verdict.status is TaskStatus.PENDING else (decision.daemon or task.live.daemon)
        live = Live(
            status=verdict.status,
            attempt=verdict.attempt,
            failures=verdict.failures,
            losses=verdict.losses,
            max_attempts=task.live.max_attempts,
            daemon=daemon,
        )
        self.tasks[task.id] = msgspec.structs.replace(task, live=live)
        step = self.steps.get(task.step) if task.step else None
        if step is None or verdict.step is None or verdict.step is step.status:
            return
        oracle.assert_step_may_become(step.status, verdict.step)
        self.steps[step.id] = msgspec.structs.replace(step, status=verdict.step)
        if verdict.step is StepStatus.COMPLETED:
            self.replans = 0
        if verdict.step is StepStatus.FAILED:
            self.respond(step, verdict.status)
        self.sweep()

    def respond(self, step: Node, status: TaskStatus) -> None:
        if status is TaskStatus.CANCELLED:
            response = after_cancel(self.policy, step.name, "asked")
        else:
            response = after_failure(self.policy, step.name, "wrong", Rounds(in_a_row=self.replans))
        match response.action:
            case OnFailure.REPLAN:
                self.plans_due, self.replans = 1, self.replans + 1
            case OnFailure.PAUSE:
                self.paused = response.reason
            case OnFailure.CONTINUE:
                self.skip_dependents(step.id)

    def skip_dependents(self, failed: UUID) -> None:
        for step in list(self.steps.values()):
            if failed in step.depends_on and step.status in (StepStatus.PENDING, StepStatus.READY):
                self.steps[step.id] = msgspec.structs.replace(step, status=StepStatus.SKIPPED)
                self.skip_dependents(step.id)

    def choose(self, chosen: int) -> Known:
        """A task; rather one that is on a daemon than one that isn't."""
        held = [t for t in self.tasks.values() if t.live.status in ON_A_DAEMON]
        among = held if held and chosen % 4 else list(self.tasks.values())
        return among[chosen // 4 % len(among)]

    def live_tasks(self, step: UUID) -> list[Known]:
        return [t for t in self.tasks.values() if t.step == step and t.live.status in LIVE_TASK]

    def assert_may_start(self, step: Node) -> None:
        """By the model: all that it needs, and all of a lower order, has ended well or was skipped."""
        ended = {StepStatus.COMPLETED, StepStatus.SKIPPED}
        early = [n for n in step.depends_on if n in self.steps and self.steps[n].status not in ended]
        assert not early, "a step started before what it needs"
        lower = [s for s in self.steps.values() if s.order_index < step.order_index and s.status not in ended]
        added_since = [s for s in lower if s.id > step.id]
        assert lower == added_since, "a step started before a lower order had ended"

    def sweep(self) -> None:
        """The monitor: what may run is made ready."""
        if self.paused is None:
            for step in oracle.ready(self.steps.values()):
                self.steps[step] = msgspec.structs.replace(self.steps[step], status=StepStatus.READY)

    @invariant()
    def no_step_runs_twice_at_once(self) -> None:
        for step in self.steps:
            assert len(self.live_tasks(step)) <= 1

    @invariant()
    def a_step_that_completed_has_one_task_that_did(self) -> None:
        for step in self.steps.values():
            done = [t for t in self.started.get(step.id, ()) if self.tasks[t].live.status is TaskStatus.COMPLETED]
            assert len(done) == (step.status is StepStatus.COMPLETED)

    @invariant()
    def nothing_is_tried_for_ever(self) -> None:
        for task in self.tasks.values():
            assert task.live.failures <= task.live.max_attempts
            assert task.live.losses <= MAX_LOSSES + 1

    @invariant()
    def what_is_active_goes_on_or_says_what_it_waits_for(self) -> None:
        """A live task, a due action, everything ended, or for each step that is left a failed one that it waits for."""
        if self.paused is not None or self.plans_due or oracle.idle(self.steps.values()):
            return
        if any(t.live.status in LIVE_TASK for t in self.tasks.values()):
            return
        left = [
            s for s in self.steps.values() if s.status in (StepStatus.PENDING, StepStatus.READY, StepStatus.RUNNING)
        ]
        if any(s.status is StepStatus.READY for s in left):
            return
        for step in left:
            assert self.waits_for_a_failure(step), f"{step.name} is {step.status} and waits for nothing"

    def waits_for_a_failure(self, step: Node) -> bool:
        found = readiness.waits_for(step, self.steps)
        return any(f.status is StepStatus.FAILED or self.waits_for_a_failure(f) for f in found)


TestLivesOfDirectives = Lives.TestCase
TestLivesOfDirectives.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
