"""The transition tables: every status stands in them, and what they don't hold is refused."""

import pytest

from shared.domain import statuses as s


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
    with pytest.raises(s.TransitionRefused):
        s.check_step(s.StepStatus.RUNNING, s.StepStatus.SKIPPED)
