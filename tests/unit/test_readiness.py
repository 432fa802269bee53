"""Random plans run to their end: no step before its dependencies, no deadlock."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ids import uuid7
from shared.domain.readiness import Node, start
from shared.domain.statuses import SETTLED_STEP, StepStatus
from tests.oracle import idle, ready


@st.composite
def plans(draw: st.DrawFn) -> list[Node]:
    nodes: list[Node] = []
    for number in range(draw(st.integers(1, 12))):
        needs = draw(st.lists(st.sampled_from(nodes), max_size=3, unique=True)) if nodes else []
        order = draw(st.integers(max((n.order_index for n in needs), default=0), 3))
        depends_on = tuple(n.id for n in needs)
        node_id = uuid7(number, bytes(10))
        nodes.append(Node(id=node_id, status=StepStatus.PENDING, order_index=order, depends_on=depends_on))
    return nodes


@given(plans(), st.randoms(use_true_random=False))
def test_every_plan_runs_to_its_end_in_order(plan: list[Node], rng) -> None:  # type: ignore[no-untyped-def]
    steps = {n.id: n for n in plan}
    while not idle(steps.values()):
        due = ready(steps.values())
        assert due, "an unfinished plan always has a step that may run"
        chosen: UUID = rng.choice(sorted(due))
        node = steps[chosen]
        assert all(steps[d].status in SETTLED_STEP for d in node.depends_on)
        lower = [s for s in steps.values() if s.order_index < node.order_index]
        assert all(s.status in SETTLED_STEP for s in lower)
        status = rng.choice([StepStatus.COMPLETED, StepStatus.SKIPPED])
        steps[chosen] = Node(id=chosen, status=status, order_index=node.order_index, depends_on=node.depends_on)


def test_a_failed_step_holds_back_what_depends_on_it() -> None:
    first, second = uuid7(1, bytes(10)), uuid7(2, bytes(10))
    steps = [Node(id=first, status=StepStatus.FAILED), Node(id=second, status=StepStatus.PENDING, depends_on=(first,))]
    assert ready(steps) == set()


def test_a_step_starts_from_its_dependencies_else_the_delivery_else_the_last_work_else_the_base() -> None:
    begin = start(["a", "b", "a"], "pr", "last")
    assert (begin.branch, begin.merge) == ("a", ("b",))
    assert start([], "pr", "last").branch == "pr"
    assert start([], None, "last").branch == "last"
    assert start([], None, None).branch is None
