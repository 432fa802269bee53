"""A plan that was exported is taken again as it was."""

from __future__ import annotations

import json
from io import BytesIO, TextIOWrapper
from pathlib import Path
from tempfile import NamedTemporaryFile

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.client import Failed
from cli.plans import from_argument, from_file, to_yaml
from shared.api.steps import StepShown
from shared.domain.ids import new_id
from shared.domain.plans import PlannedStep, resolve
from tests import shown

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


@st.composite
def shown_steps(draw: st.DrawFn) -> list[StepShown]:
    steps: list[StepShown] = []
    for _ in range(draw(st.integers(1, 6))):
        before = [s.id for s in steps]
        steps.append(
            shown.step(
                draw(texts.filter(str.strip)),
                id=new_id(),
                description=draw(texts),
                task_plan=draw(texts),
                depends_on=draw(st.lists(st.sampled_from(before), unique=True)) if before else [],
                files=draw(st.lists(texts, max_size=2)),
                agent=draw(st.none() | texts.filter(str.strip)),
                labels=draw(st.lists(texts.filter(str.strip), max_size=2)),
            )
        )
    return steps


@given(shown_steps(), texts, texts)
def test_every_exported_plan_is_taken_again_with_the_same_graph(steps: list[StepShown], title: str, goal: str) -> None:
    written = to_yaml(title, goal, steps)
    assert all(line.isprintable() for line in written.partition("\nsteps:")[2].split("\n"))
    with NamedTemporaryFile(suffix=".yaml") as file:
        file.write(written.encode())
        file.flush()
        plan = msgspec.convert(from_file(file.name), list[PlannedStep])
    ids = [new_id() for _ in plan]
    needs = resolve([msgspec.structs.replace(s, agent=None, labels=()) for s in plan], {}, ids)
    by_texts = {(s.description, s.task_plan, s.files, s.agent, s.labels): 1 for s in plan}
    made = [(s.description, s.task_plan, tuple(s.files), s.agent, tuple(s.labels)) for s in steps]
    assert by_texts == dict.fromkeys(made, 1)
    assert sorted(len(n) for n in needs) == sorted(len(s.depends_on) for s in steps)
    assert len(plan) == len(steps)


def test_a_key_beside_steps_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("steps: []\ncolour: red\n")
    with pytest.raises(Failed, match="unknown key 'colour'"):
        from_file(str(tmp_path / "plan.yaml"))


def test_json_may_write_any_character_as_it_does(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps([{"name": "👩 one"}]))
    assert from_file(str(tmp_path / "plan.json")) == [{"name": "👩 one"}]


def test_a_plan_from_standard_input_is_read_and_a_terminal_there_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"steps:\n  - name: one\n")))
    assert from_file("-") == [{"name": "one"}]
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"steps: [\n")))
    with pytest.raises(Failed, match=r"^standard input:2: "):
        from_file("-")
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(Failed, match="that is closed"):
        from_file("-")
    terminal = TextIOWrapper(BytesIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", terminal)
    with pytest.raises(Failed, match="that is a terminal"):
        from_file("-")


@pytest.mark.parametrize("text", ["[" * 5000, "{steps: " * 5000, "- " * 5000])
def test_a_plan_that_is_nested_without_end_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(Failed, match=r"plan\.yaml:.*"):
        from_file(str(tmp_path / "plan.yaml"))
    with pytest.raises(Failed, match="--json: "):
        from_argument(text)


TENFOLD = "".join(f"  x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]\n" for n in range(1, 9))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("steps:\n- name: a\n  task_plan: one\n  task_plan: two\n", "plan:4: 'task_plan' is given twice"),
        ("steps: []\nsteps: [{name: a}]\n", "plan:2: 'steps' is given twice"),
        ('{"steps": [{"name": "a", "name": "b"}]}', "plan: 'name' is given twice"),
        ("- name: 2026-99-99\n", "plan:1: '2026-99-99' is no timestamp that can be read; put it in quotes"),
        ("- name: 1\n- name: !!int x\n", "plan:2: 'x' is no int that can be read"),
        ('- name: !!float ""\n', "plan:1: '' is no float"),
        ("- order_index: " + "9" * 5000, "is no int that can be read"),
        ('[{"order_index": ' + "9" * 5000 + "}]", "is no int that can be read"),
        (f"- name: a\n  x0: &x0 [a, b]\n{TENFOLD}", "stands for more than 8 MiB"),
        ("- &a {name: x, files: [*a]}\n", "is nested too deeply"),
    ],
)
def test_a_plan_that_cannot_be_read_as_it_was_meant_is_refused_with_its_place(
    text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plan").write_text(text)
    with pytest.raises(Failed) as refused:
        from_file("plan")
    assert says in str(refused.value)


def test_a_plan_may_name_things_again_and_override_what_it_merges(tmp_path: Path) -> None:
    (tmp_path / "plan").write_text(
        "- &a {name: a, files: &f [x]}\n- &b {<<: *a, name: b}\n- {<<: *b, name: c, labels: *f}\n"
    )
    assert [step["name"] for step in from_file(str(tmp_path / "plan"))] == ["a", "b", "c"]
