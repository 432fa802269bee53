"""The transition tables: every status stands in them, and what they don't hold is refused."""

import re

import pytest

from shared.domain import statuses as s
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        (s.DIRECTIVE_TRANSITIONS, s.DirectiveStatus),
        (s.STEP_TRANSITIONS, s.StepStatus),
        (s.TASK_TRANSITIONS, s.TaskStatus),
    ],
)
def test_every_status_has_a_row_and_the_start_reaches_them_all(table, kind) -> None:  # type: ignore[no-untyped-def]
    assert set(table) == set(kind)
    reached, edge = set(), [next(iter(kind))]
    while edge:
        status = edge.pop()
        reached.add(status)
        edge += [after for after in table[status] if after not in reached]
    assert reached == set(kind)


def test_a_transition_outside_the_table_is_refused_in_words() -> None:
    with pytest.raises(s.TransitionRefused, match="a task that is completed can't become running"):
        s.check_task(s.TaskStatus.COMPLETED, s.TaskStatus.RUNNING)
    with pytest.raises(s.TransitionRefused):
        s.check_directive(s.DirectiveStatus.ARCHIVED, s.DirectiveStatus.ACTIVE)


SETS_OF_INDEXES = {
    "task_one_live_a_step": {"status": "live_task"},
    "task_one_live_planning": {"status": "live_task"},
    "task_one_live_delivery": {"kind": "delivery_kinds", "status": "live_task"},
    "task_on_a_daemon": {"status": "on_a_daemon"},
    "task_cancel_asked": {"status": "live_task"},
    "task_refused": {"status": "unstarted_task"},
    "task_delivery": {"kind": "delivery_kinds"},
    "task_unsettled_delivery": {"kind": "agent_kinds"},
    "step_unsettled": {"status": "unsettled_step"},
}
_LISTED = re.compile(r"'(\w+)'(?:\s*,\s*'(?:\w+)')+")
_INDEX = re.compile(r"^CREATE (?:UNIQUE )?INDEX (\w+)[^;]*;", re.MULTILINE)
_IN = re.compile(r"(\w+) (?:NOT )?IN \(([^)]*)\)")


def test_statements_name_a_set_of_statuses_instead_of_listing_them() -> None:
    """But for migrations, which say what was, and the triggers, which are written from the tables."""
    written = [*ROOT.glob("services/**/*.sql"), *ROOT.glob("services/**/*.py"), *ROOT.glob("shared/**/*.py")]
    written += ROOT.glob("shared/store/definitions/*.sql")
    assert len(written) > 200
    written = [f for f in written if f.name not in ("transitions.sql", "statements.py")]  # an example of what it makes
    known = {frozenset(map(str, chosen)) for chosen in s.SETS.values()}
    listed = [
        f"{file.relative_to(ROOT)}: {found[0]}"
        for file in written
        for found in _LISTED.finditer(file.read_text(encoding="utf-8"))
        if (values := frozenset(re.findall(r"\w+", found[0]))) in known or values < s.LIVE_TASK
    ]
    assert listed == []


def test_the_indexes_are_of_the_sets_that_statements_name() -> None:
    text = (ROOT / "shared" / "store" / "schema.sql").read_text(encoding="utf-8")
    found = {
        index[1]: {column: frozenset(re.findall(r"\w+", values)) for column, values in _IN.findall(index[0])}
        for index in _INDEX.finditer(text)
        if re.search(r"ON makima\.(task|step) ", index[0]) and _IN.search(index[0])
    }
    assert found == {
        index: {column: frozenset(map(str, s.SETS[name])) for column, name in sets.items()}
        for index, sets in SETS_OF_INDEXES.items()
    }
