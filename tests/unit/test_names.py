"""Branch names pass git's own check, whatever a task is called."""

import subprocess
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.ids import new_id
from shared.domain.names import delivery_branch, slug, task_branch

ID = UUID("01a20c83-bead-7c9b-ba18-9f0252baa3af")


def test_a_task_branch_carries_the_name_the_last_eight_digits_and_later_attempts() -> None:
    assert task_branch("Add the README!", ID, 1) == "makima/add-the-readme-52baa3af"
    assert task_branch("Add the README!", ID, 3) == "makima/add-the-readme-52baa3af-3"
    assert delivery_branch("", ID) == "makima/directive-task-52baa3af"


@given(st.text())
@settings(max_examples=40, deadline=None)
def test_every_branch_name_is_one_for_git(text: str) -> None:
    branch = task_branch(text, ID, 2)
    assert subprocess.run(["git", "check-ref-format", "--branch", branch], capture_output=True).returncode == 0
    assert len(slug(text)) <= 50


def test_ids_are_version_7_and_differ() -> None:
    made = {new_id() for _ in range(1000)}
    assert len(made) == 1000
    assert {i.version for i in made} == {7}
