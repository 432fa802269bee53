"""A real daemon, and a check that fails before anything was changed; and what a failed setup says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.messages.reports import TaskFailed, TaskSucceeded
from tests.daemon_harness import sh
from tests.integration.test_wrapped_agents import WrappedHouse

Opens = Callable[[str], WrappedHouse]
SAYS_WHAT_IT_WAS_TOLD = "done(prompt)"


@pytest.fixture
def opens(tmp_path: Path) -> Iterator[Opens]:
    """Opens a house with a policy for red bases; its check fails, and leaves a mark each time that it runs."""
    houses = []

    def opened(policy: str) -> WrappedHouse:
        house = WrappedHouse(tmp_path, MAKIMA_RED_BASE=policy)
        check = f"echo ran >>{tmp_path}/checked; echo the tests are red; exit 3"
        house.commit(".makima.toml", f'check = "{check}"\n')
        houses.append(house)
        return house

    yield opened
    for house in houses:
        house.close()


def checks(house: WrappedHouse) -> int:
    mark = house.folder / "checked"
    return len(mark.read_text().splitlines()) if mark.exists() else 0


@pytest.mark.parametrize(
    ("policy", "told", "unchecked"),
    [("fix", "Plan a first step that fixes it", False), ("continue", "no step is held to it", True)],
)
def test_the_planner_is_told_what_fails_and_what_to_do_and_the_check_runs_once_a_commit(
    opens: Opens, policy: str, told: str, unchecked: bool
) -> None:
    house = opens(policy)
    for _ in range(2):
        end = house.ending(house.runs(SAYS_WHAT_IT_WAS_TOLD, kind="plan").task)
        assert isinstance(end, TaskSucceeded) and end.unchecked is unchecked
        assert told in end.outcome and "  > the tests are red" in end.outcome and end.outcome.rstrip().endswith("task")
    assert checks(house) == 1
    house.commit("b.txt", "another commit\n")
    house.ending(house.runs("done()", kind="plan").task)
    assert checks(house) == 2, "another commit may be another matter"


def test_a_planning_that_is_to_stop_asks_no_model_and_says_how_the_check_ended(opens: Opens) -> None:
    house = opens("stop")
    end = house.ending(house.runs("open('../asked', 'w'); done()", kind="plan").task)
    assert isinstance(end, TaskFailed) and end.blocked and end.cost_usd == 0.0
    assert "fails on the base branch by itself: exit code 3: the tests are red" in end.reason
    assert "red_base" in end.reason and "the tests are red" in end.tail


def test_a_planning_on_top_of_other_work_looks_at_no_base(opens: Opens) -> None:
    house = opens("stop")
    first = house.runs("open('a.txt', 'w').write('b'); done()", unchecked=True)
    assert isinstance(house.ending(first.task), TaskSucceeded), "its directive goes on without the check"
    again = house.runs("done()", kind="plan", start_from=first.branch)
    assert isinstance(house.ending(again.task), TaskSucceeded)
    assert checks(house) == 0


@pytest.mark.parametrize(("policy", "blocked"), [("stop", True), ("fix", False)])
def test_a_step_of_a_plan_that_was_brought_is_not_blamed_for_a_base_that_is_red(
    opens: Opens, policy: str, blocked: bool
) -> None:
    house = opens(policy)
    first = house.ending(house.runs("open('a.txt', 'w').write('b'); done()", base_unjudged=True).task)
    assert isinstance(first, TaskFailed) and (first.blocked, first.permanent) == (blocked, not blocked)
    assert "fails on the base branch by itself: exit code 3: the tests are red" in first.reason
    assert "the tests are red" in first.tail and first.cost_usd == 0.5, "its agent was not asked again"
    assert checks(house) == 2
    again = house.ending(house.runs("open('a.txt', 'w').write('c'); done()", base_unjudged=True).task)
    assert isinstance(again, TaskFailed) and checks(house) == 3, "the base branch's commit is judged once"


def test_a_step_goes_on_without_a_check_that_fails_on_its_base(opens: Opens) -> None:
    house = opens("continue")
    command = house.runs("open('a.txt', 'w').write('b'); done()", base_unjudged=True)
    end = house.ending(command.task)
    assert isinstance(end, TaskSucceeded) and end.unchecked and end.files_changed == ("a.txt",)
    assert sh(house.remote, "git", "show", f"{command.branch}:a.txt") == "b"


@pytest.mark.parametrize("judged", [True, False])
def test_a_step_that_breaks_the_check_itself_is_held_to_it(opens: Opens, judged: bool) -> None:
    house = opens("stop")
    house.commit(".makima.toml", f'check = "echo ran >>{house.folder}/checked; test ! -e bad"\n')
    body = "import os\nopen('bad', 'w') if not resumed else os.remove('bad')\ndone()"
    end = house.ending(house.runs(body, base_unjudged=not judged).task)
    assert isinstance(end, TaskSucceeded) and not end.unchecked
    assert checks(house) == (2 if judged else 3)
    house.ending(house.runs("open('good', 'w'); done()", base_unjudged=not judged).task)
    assert checks(house) == (3 if judged else 4), "what is green costs no look at the base"


def test_a_failed_setup_names_its_command_and_its_last_words_and_is_no_failure_of_the_agent(opens: Opens) -> None:
    house = opens("ignore")
    house.commit(".makima.toml", 'setup = "echo fetching; echo no such package; exit 7"\n')
    end = house.ending(house.runs("done()").task)
    assert isinstance(end, TaskFailed) and end.blocked and end.cost_usd == 0.0
    said = "the repository's setup `echo fetching; echo no such package; exit 7` fails: exit code 7: no such package; "
    assert end.reason.startswith(said) and end.reason.endswith("then resume")
    assert end.tail == "fetching\nno such package"
