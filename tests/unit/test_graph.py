"""The graph of steps: its layers, and its drawings as text, Mermaid and SVG."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from cli.graph import as_mermaid, as_svg, as_text, in_order, layers
from shared.api.steps import StepShown
from tests import shown


def step(name: str, *needs: str, phase: int = 0) -> StepShown:
    return shown.step(name, "pending", *needs, order_index=phase)


DIAMOND = [step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"), step("e", phase=1)]


@st.composite
def plans(draw: st.DrawFn) -> list[StepShown]:
    steps: list[StepShown] = []
    for number in range(draw(st.integers(0, 12))):
        phase = draw(st.integers(0, 2))
        before = [s.name for s in steps if s.order_index <= phase]
        needs = draw(st.lists(st.sampled_from(before), unique=True, max_size=3)) if before else []
        steps.append(step(f"s{number}", *needs, phase=phase))
    return draw(st.permutations(steps))


def test_a_diamond_has_a_layer_for_each_depth_and_phase() -> None:
    assert [[s.name for s in layer] for layer in layers(DIAMOND)] == [["a"], ["b", "c"], ["d"], ["e"]]


@given(plans())
def test_no_step_stands_before_what_it_waits_for(steps: list[StepShown]) -> None:
    layer = {s.id: number for number, row in enumerate(layers(steps)) for s in row}
    place = {s.id: number for number, s in enumerate(in_order(steps))}
    assert set(layer) == set(place) == {s.id for s in steps}
    for later in steps:
        assert all(layer[need] < layer[later.id] and place[need] < place[later.id] for need in later.depends_on)
        assert all(layer[s.id] < layer[later.id] for s in steps if s.order_index < later.order_index)


@given(plans())
def test_every_drawing_names_every_step_once(steps: list[StepShown]) -> None:
    assert len(as_text(steps)) == len(steps)
    assert as_mermaid(steps).count('["s') == len(steps)
    assert as_svg("t", steps).count("<g>") == len(steps)


def test_the_text_says_what_comes_before() -> None:
    lines = as_text(DIAMOND)
    assert lines[0] == "○ a"
    assert lines[3].endswith("d   ← b, c")
    assert lines[4].endswith("e   ← all of phase 0")


def test_hostile_names_stay_names() -> None:
    steps = [step('</text><script>alert(1)</script>"]; x --> y'), step("\x1b[31m&amp;")]
    picture = ElementTree.fromstring(as_svg("<b>&", steps))
    assert not [e for e in picture.iter() if e.tag.endswith("script")]
    flowchart = as_mermaid(steps)
    assert "script>" not in flowchart
    assert "\x1b" not in flowchart
    assert " x --> y" not in flowchart
