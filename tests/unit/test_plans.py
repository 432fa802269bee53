"""A plan is taken whole or refused whole, with what is wrong and where."""

import pytest

from shared.domain.ids import new_id
from shared.domain.plans import PlannedStep, PlanRefused, resolve


def refusal(*steps: PlannedStep) -> str:
    with pytest.raises(PlanRefused) as refused:
        resolve(steps, {}, [new_id() for _ in steps])
    return str(refused.value)


def step(name: str, *needs: str | int, order: int = 0) -> PlannedStep:
    return PlannedStep(name=name, depends_on=needs, order_index=order)


def test_dependencies_go_by_name_position_and_id() -> None:
    earlier, ids = new_id(), [new_id(), new_id(), new_id()]
    plan = [step("a", str(earlier)), step("b", "a"), step("c", 0, "b", "earlier")]
    assert resolve(plan, {earlier: "earlier"}, ids) == [(earlier,), (ids[0],), (ids[0], ids[1], earlier)]


def test_a_cycle_is_named_in_the_order_of_its_dependencies() -> None:
    assert refusal(step("a", "c"), step("b", "a"), step("c", "b")).startswith("the plan has a cycle: ")


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ([], "no steps"),
        ([step(" ")], "steps[0]: `name` is empty"),
        ([step("a"), step("a")], "steps[1]: the name 'a' is taken twice"),
        ([step("a", "b")], "steps[0] ('a'): depends_on 'b' is no step"),
        ([step("a", "²")], "depends_on '²' is no step"),
        ([step("a"), step("b", "\u0660")], "is no step"),
        ([step("a", "9" * 5000)], "is no step"),
        ([step("a", 7)], "position 7 is outside the batch"),
        ([step("a\0")], "NUL"),
        ([PlannedStep(name="a", agent="native")], "steps[0] ('a'): `agent` 'native' is makima's own"),
        ([PlannedStep(name="a", model=" ")], "`model` ' ' is empty"),
        ([PlannedStep(name="a", labels=("x\n",))], "`labels` 'x\\n' is empty, too long or not printable"),
        ([PlannedStep(name="a", labels=("x",) * 21)], "`labels` holds 21 of them; at most 20"),
        ([step("late", order=2), step("early", "late", order=1)], "neither could ever start"),
    ],
)
def test_an_invalid_plan_is_refused_with_its_item(plan: list[PlannedStep], says: str) -> None:
    assert says in refusal(*plan)
