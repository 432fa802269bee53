"""Whatever waits can say for what: each way to wait by itself, and random scenes that leave no wait unexplained."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import explanation
from shared.domain.explanation import Scene, Slots, Step, Task
from shared.domain.ids import uuid7
from shared.domain.statuses import LIVE_TASK, DirectiveStatus, PauseCause, Refusal, StepStatus, TaskKind, TaskStatus
from tests.oracle import idle, ready

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
FREE = Slots(daemons=1, capacity=4, free=4)
SOON = "in a moment"


def identified(number: int) -> UUID:
    return uuid7(number, bytes(10))


D = identified(0)


def active(*tasks: Task, steps: tuple[Step, ...] = (), **more: object) -> Scene:
    given_scene = {"status": DirectiveStatus.ACTIVE, "slots": FREE, **more}
    return Scene(id=D, now=NOW, tasks=tasks, steps={s.id: s for s in steps}, **given_scene)  # type: ignore[arg-type]


def one_step(number: int = 1, status: StepStatus = StepStatus.PENDING, **more: object) -> Step:
    return Step(id=identified(number), name=f"S{number}", status=status, **more)  # type: ignore[arg-type]


def one_task(status: TaskStatus, kind: TaskKind = TaskKind.STEP, **more: object) -> Task:
    return Task(id=identified(99), kind=kind, name="S1", status=status, step=identified(1), **more)  # type: ignore[arg-type]


FAILED = one_step(1, StepStatus.FAILED, reason="exit code 3")
SCRIPT = one_step(1, StepStatus.FAILED, scripted=True)
NEEDS_IT = one_step(2, depends_on=(identified(1),))
READY = one_step(1, StepStatus.READY)


@pytest.mark.parametrize(
    ("scene", "text", "fix"),
    [
        (active(status=DirectiveStatus.DRAFT), "it is a draft", f"makima directive start {D}"),
        (
            active(status=DirectiveStatus.PAUSED, pause_reason="the budget is spent", paused_for=PauseCause.BUDGET),
            "it is paused: the budget is spent",
            f"makima directive update {D} --budget-usd, --max-tokens or --deadline, with more or none",
        ),
        (
            active(steps=(FAILED,), status=DirectiveStatus.PAUSED, paused_for=PauseCause.FAILURE),
            "it is paused: no reason given",
            f"makima directive retry-step {FAILED.id}, or makima directive skip-step {FAILED.id}",
        ),
        (
            active(steps=(SCRIPT,), status=DirectiveStatus.PAUSED, paused_for=PauseCause.FAILURE),
            "it is paused: no reason given",
            f"makima directive retry-step {FAILED.id}, or makima directive skip-step {FAILED.id}, "
            f"or makima directive edit-step {FAILED.id} --task-plan SCRIPT",
        ),
        (
            active(status=DirectiveStatus.AWAITING_APPROVAL),
            "its plan waits for approval",
            f"makima directive approve {D}, or makima directive reject {D} --reason WHY",
        ),
        (
            active(one_task(TaskStatus.RUNNING, TaskKind.PLAN)),
            "it is being planned: it runs on a daemon, attempt 1",
            None,
        ),
        (active(one_task(TaskStatus.RUNNING), steps=(one_step(),)), "'S1': it runs on a daemon, attempt 1", None),
        (active(requests=("goal",)), "planning is due (goal): it begins in a moment", None),
        (active(steps=(READY,)), "step 'S1': it is ready: it is dispatched in a moment", None),
        (active(steps=(READY,), slots=Slots()), "step 'S1': no daemon is connected", "makima daemon run"),
        (
            active(steps=(READY,), slots=Slots(refusing=("a drains", "b: its disk can't be written"))),
            "step 'S1': no connected daemon takes more work: a drains; b: its disk can't be written",
            "makima daemon list",
        ),
        (
            active(steps=(READY,), slots=Slots(daemons=1, capacity=4, spent_usd=5.25, max_usd=5.0)),
            "step 'S1': its owner has spent $5.25 today, and may spend $5.00 a day: it goes on at 00:00 UTC",
            "makima owner set OWNER --max-cost-usd-a-day USD",
        ),
        (
            active(steps=(READY,), slots=Slots(daemons=1, capacity=4, running=4)),
            "step 'S1': 4 of 4 slots are taken",
            "makima daemon run, for more",
        ),
        (
            active(steps=(READY,), slots=Slots(daemons=1, capacity=4, running=2, max_running=2)),
            "step 'S1': 2 of 2 tasks run that this owner may run at once",
            None,
        ),
        (
            active(steps=(FAILED, NEEDS_IT)),
            "step 'S2': it waits for 'S1', which failed",
            f"makima directive retry-step {FAILED.id}, or makima directive skip-step {FAILED.id}",
        ),
        (active(), "it has no steps", f"makima directive replan {D}"),
        (
            active(status=DirectiveStatus.IDLE, undelivered=True),
            "all its steps have ended: its delivery is due in a moment",
            None,
        ),
    ],
)
def test_a_directive_says_what_it_waits_for(scene: Scene, text: str, fix: str | None) -> None:
    assert explanation.directive(scene) == explanation.Why(text=text, fix=fix)


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (
            one_task(TaskStatus.PENDING, not_before=NOW + timedelta(seconds=3), reason="exit code 3"),
            "it backs off until 12:00:03 UTC after: exit code 3",
        ),
        (
            one_task(TaskStatus.PENDING, refused_for="no daemon has the agent claude"),
            "it can't be sent: no daemon has the agent claude",
        ),
        (
            one_task(TaskStatus.PENDING, cancel_asked="the goal changed"),
            "its end was asked for (the goal changed), and is waited for",
        ),
        (
            one_task(TaskStatus.STARTING),
            "it was sent to a daemon, which gets it ready, or has not taken it yet and is sent it again",
        ),
        (one_task(TaskStatus.PAUSED), "its agent waits for an answer"),
        (one_task(TaskStatus.PENDING), "it is due: it is dispatched in a moment"),
    ],
)
def test_a_task_says_what_it_waits_for(one: Task, text: str) -> None:
    assert explanation.task(active(one, steps=(one_step(status=StepStatus.READY),)), one).text == text


def test_a_step_of_a_plan_that_is_not_in_force_says_so() -> None:
    planning = identified(7)
    held, removed = one_step(1, held_by=planning), one_step(2, removed_by=planning)
    being_made = active(steps=(held, removed))
    waiting = msgspec.structs.replace(being_made, status=DirectiveStatus.AWAITING_APPROVAL, awaited_plan=planning)
    assert "comes into force when its planning ends well" in explanation.step(being_made, held).text
    assert explanation.step(waiting, removed).text == "it is to be removed by a plan that waits for approval"


def test_a_completed_directive_says_what_came_of_its_delivery() -> None:
    done = msgspec.structs.replace(active(), status=DirectiveStatus.COMPLETED, delivered_to="makima/x")
    assert explanation.directive(done).text == "it is completed: delivered to makima/x"
    said = msgspec.structs.replace(done, delivery_outcome="nothing changed: main is as the steps leave it")
    assert explanation.directive(said).text == "it is completed: nothing changed: main is as the steps leave it"


def test_work_that_a_step_found_waits_for_approval_and_names_the_command() -> None:
    finding = identified(7)
    found = one_step(1, held_by=finding)
    scene = msgspec.structs.replace(active(steps=(found,)), awaited=(finding,))
    told = explanation.step(scene, found)
    assert "the work that a step found, which waits for approval" in told.text
    assert told.fix is not None and f"makima directive approve {scene.id}" in told.fix


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    steps: list[Step] = []
    for number in range(1, draw(st.integers(0, 6)) + 1):
        needs = draw(st.lists(st.sampled_from([s.id for s in steps]), max_size=2, unique=True)) if steps else []
        status = draw(st.sampled_from(StepStatus))
        doomed = identified(1) if status is StepStatus.SKIPPED and draw(st.booleans()) else None
        held = identified(50) if status is StepStatus.PENDING and draw(st.booleans()) else None
        steps.append(
            one_step(
                number,
                status,
                depends_on=tuple(needs),
                order_index=draw(st.integers(0, 2)),
                skipped_for=doomed,
                held_by=held,
            )
        )
    tasks = [
        Task(
            id=identified(60 + n),
            kind=draw(st.sampled_from(TaskKind)),
            name=f"T{n}",
            status=draw(st.sampled_from(TaskStatus)),
            step=draw(st.sampled_from([s.id for s in steps])) if steps else None,
        )
        for n in range(draw(st.integers(0, 3)))
    ]
    return active(
        *tasks,
        steps=tuple(steps),
        status=draw(st.sampled_from(DirectiveStatus)),
        paused_for=draw(st.none() | st.sampled_from(PauseCause)),
        requests=draw(st.sampled_from([(), ("goal",)])),
        failures_pass=draw(st.booleans()),
        slots=draw(st.sampled_from([FREE, Slots(), Slots(daemons=1, capacity=1, running=1)])),
    )


@given(scenes())
def test_everything_says_something_and_what_a_person_settles_names_the_command(scene: Scene) -> None:
    assert explanation.directive(scene).text
    assert all(explanation.step(scene, s).text for s in scene.steps.values())
    assert all(explanation.task(scene, t).text for t in scene.tasks)
    if scene.status in (DirectiveStatus.PAUSED, DirectiveStatus.AWAITING_APPROVAL):
        assert (explanation.directive(scene).fix or "").startswith("makima ")


@given(scenes())
def test_an_active_directive_without_a_live_task_and_nothing_due_says_why(scene: Scene) -> None:
    scene = msgspec.structs.replace(
        scene, status=DirectiveStatus.ACTIVE, requests=(), tasks=[t for t in scene.tasks if t.status not in LIVE_TASK]
    )
    in_force = [s for s in scene.steps.values() if s.held_by is None]
    due = ready(in_force) or any(s.status in (StepStatus.READY, StepStatus.RUNNING) for s in in_force)
    if not due and not idle(in_force) and in_force and not scene.failures_pass:
        assert not explanation.directive(scene).text.endswith(SOON)


def test_a_planning_whose_agent_nobody_has_may_be_given_to_another() -> None:
    nobodys = one_task(TaskStatus.PENDING, TaskKind.PLAN, refused_for="no daemon has it", refusal=Refusal.AGENT)
    fix = explanation.task(active(nobodys), nobodys).fix
    assert fix is not None and fix.startswith(f"makima directive update {D} --agent NAME, or add it to the machine")
