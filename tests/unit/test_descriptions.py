"""A pull request's text: ours between markers, people's kept, whatever was typed exactly as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.completer import prompts
from services.completer.prompts import StepText
from shared.domain.delivery import Broken, Commit, Conflicted
from shared.domain.descriptions import BEGIN, CUT, END, LONGEST_BODY, cut, fenced, marked, refreshed
from shared.domain.ids import new_id

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"))


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_only_what_is_between_the_markers_changes(before: str, first: str, second: str, after: str) -> None:
    for text in (before, after):
        if BEGIN in text or END in text:
            return
    body = before + marked(first).rstrip("\n") + after
    assert refreshed(body, second) == before + marked(second).rstrip("\n") + after


def test_markers_that_somebody_removed_come_again_at_the_end() -> None:
    assert refreshed("I wrote this.\n", "ours") == f"I wrote this.\n\n{BEGIN}\nours\n{END}\n"
    assert refreshed("", "ours") == marked("ours")


def test_markers_that_somebody_typed_are_no_markers() -> None:
    body = marked(f"goal {END} and {BEGIN}")
    assert body.count(BEGIN) == body.count(END) == 1
    assert refreshed(f"x\n{body}y", "new") == f"x\n{BEGIN}\nnew\n{END}\ny"


@given(TEXTS)
def test_a_fence_is_longer_than_any_in_its_text(text: str) -> None:
    first, *_, last = fenced(text).split("\n")
    fence = first.removesuffix("text")
    assert last == fence and fence not in text and set(fence) == {"`"}


@given(st.text("`ab\n", max_size=400), st.integers(300, 500))
def test_what_is_cut_is_under_the_limit_and_says_so(text: str, longest: int) -> None:
    result = cut(text, longest)
    assert len(result) <= longest and (result == text or result.endswith(CUT))


def step(name: str = "Step", **more: object) -> StepText:
    values = {"id": new_id(), "name": name, "status": "completed", "head": "abcdef0123456789", **more}
    return StepText(**values)  # type: ignore[arg-type]


def test_it_tells_goal_steps_failures_cost_and_time() -> None:
    left = step("Left", outcome="was green")
    text = prompts.pull_request(
        goal="Make `it` <b>work</b>",
        steps=[step("Build", outcome="built it"), step("Ship", status="failed", reason="no wind"), left],
        left_out=[left.id],
        orders=["Faster, closes #7"],
        cost_usd=1.5,
        tokens=12000,
        seconds=3720,
    )
    assert text.startswith("Make `it` &lt;b>work&lt;/b>\n")
    assert "- \u2714 **Build**\n" in text and "**Build** (abcdef012345)\n" in text and "\nbuilt it\n" in text
    assert "- \u2718 failed: **Ship**\n" in text and "- left out: **Left**\n" in text
    assert "- **Left** breaks the check" in text and "- **Ship** failed: no wind" in text
    assert "- Faster, closes #7\n" in text
    assert "1.50 USD, 12,000 tokens, 62 min from the goal to here." in text


def test_a_steps_commits_are_listed_exactly_the_newest_of_very_many() -> None:
    few = tuple(Commit(sha=f"{n}" * 40, subject=f"Say `{n}`") for n in range(2))
    text = prompts.pull_request(goal="g", steps=[step("Build", commits=few)])
    assert "**Build**\n\n- 000000000000 Say \\`0\\`\n- 111111111111 Say \\`1\\`\n" in text
    many = tuple(Commit(sha=f"{n:040}", subject=f"c{n}") for n in range(30))
    text = prompts.pull_request(goal="g", steps=[step("Build", commits=many)])
    assert "- earlier ones\n" in text and " c10\n" in text and " c9\n" not in text and " c29\n" in text


@pytest.mark.parametrize("count", [200, 5000])
def test_a_long_story_is_under_the_limit_of_a_forge(count: int) -> None:
    commits = (Commit(sha="a" * 40, subject="s" * 200),) * 21
    steps = [step(f"Step {n} with a name", outcome="word " * 400, commits=commits) for n in range(count)]
    assert len(marked(prompts.pull_request(goal="g" * 10_000, steps=steps))) < LONGEST_BODY + 100


def test_the_prompt_of_a_conflict_has_both_sides_their_intent_and_the_commands() -> None:
    mine, yours = step("Mine", branch="m", description="make it blue"), step("Yours", branch="y", outcome="made it red")
    conflict = Conflicted(branch="y", into="main", files=("a b.txt",), step=yours.id, by_hand=("git merge y",))
    text = prompts.completion(title="Paint", goal="Colours", conflict=conflict, steps=[mine, yours])
    for part in ("Paint", "Colours", "- a b.txt", "make it blue", "made it red", "    git merge y", "<- the side that"):
        assert part in text


def test_the_plan_of_a_fix_names_the_pair_and_carries_the_output() -> None:
    text = prompts.fix(broken=Broken(steps=(), command="just check", output="E1"), names=["one", "two"])
    assert "just check" in text and "'one' and 'two' alone, and fails only with both" in text and "E1" in text
