"""The text of a pull request as a forge shows it, alone and within the repository's own template."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt

from services.completer import prompts
from services.completer.prompts import StepText
from shared.domain.delivery import Commit
from shared.domain.descriptions import Changed, by_area, filled, marked, placed, refreshed
from shared.domain.ids import new_id

FORGE = MarkdownIt("gfm-like", {"html": True, "linkify": False})
GOAL = (
    "# Start faster\n\nStart in **under a second**; measure `before` and after.\n\n- no new dependencies\n- closes #9"
)
WORDS = "I found <b>two</b> imports:\n\n```py\nimport slow\n```\n\n@boss, look </details>"
FILES = [
    Changed("src/app/main.py", 10, 2),
    Changed("src/app/lazy.py", 30, 0),
    Changed("README.md", 1, 1),
    Changed("logo.png", None, None),
]


def step(name: str, **more: object) -> StepText:
    values = {"id": new_id(), "name": name, "status": "completed", "head": "abcdef0123456789", **more}
    return StepText(**values)  # type: ignore[arg-type]


def told(**more: object) -> str:
    """A whole text, as a delivery hands it to a forge."""
    steps = [
        step("Find what is *slow*", description="Measures the start. Says which imports cost most.", outcome=WORDS),
        step("Load it late", commits=(Commit(sha="1" * 40, subject="Load it late, fixes #3"),)),
        step("Write it down", status="failed", reason="the check fails: exit code 1", tail="E1\n``` E2 closes #4"),
    ]
    values: dict[str, object] = {"goal": GOAL, "steps": steps, "orders": ["Slow start, closes #7"], **more}
    body = prompts.pull_request(**values)  # type: ignore[arg-type]
    return filled(body, "\u2714 `just test` passes on the merged result.", by_area(FILES))


def test_it_is_shown_with_its_parts_in_order_and_nothing_of_others_is_mark_up_of_the_page() -> None:
    page = FORGE.render(marked(told()))
    assert re.findall(r"<h\d>.*?</h\d>", page) == [
        f"<h3>{heading}</h3>" for heading in ("Steps", "Checks", "Files", "Orders served", "Not in here")
    ]
    assert "<p><strong>Start faster</strong></p>\n<p>Start in <strong>under a second</strong>" in page
    assert "<li>\u2714 <strong>Find what is *slow*</strong>: Measures the start</li>" in page
    assert "<li>\u2718 failed: <strong>Write it down</strong></li>" in page
    assert "<p>\u2714 <code>just test</code> passes on the merged result.</p>" in page
    failed = r"<strong>Write it down</strong> failed: the check fails: exit code 1(<.p>)?\s*<details><summary>how its"
    assert re.search(failed, page)
    assert '<pre><code class="language-text">E1\n``` E2 closes #\u200b4\n</code></pre>' in page
    assert '<pre><code class="language-py">import slow\n</code></pre>' in page
    assert "I found &lt;b&gt;two&lt;/b&gt; imports:" in page and "@\u200bboss, look &lt;/details&gt;" in page
    assert page.count("<details>") == page.count("</details>") == 2
    assert "USD" not in page


def test_only_what_an_order_says_closes_anything() -> None:
    assert re.findall(r"(?:closes|fixes) #\d", marked(told())) == ["closes #7"]


def test_what_it_costs_is_said_where_it_is_wanted() -> None:
    assert "1.50 USD, 12,000 tokens, 62 min" in told(cost_usd=1.5, tokens=12_000, seconds=3720)


def test_files_are_listed_by_their_folders_the_largest_changes_first() -> None:
    assert by_area(FILES).splitlines() == [
        "- `src/` (+40 \u22122): `app/lazy.py`, `app/main.py`",
        "- at the root (+1 \u22121): `README.md`, `logo.png`",
    ]
    within = by_area([Changed(f"src/{n % 20:02}/{n}.py", 1, 0) for n in range(200)]).splitlines()
    assert within[0].startswith("- `src/00/` (+10 \u22120): `0.py`") and within[0].endswith(" and 4 more")
    assert within[-1] == "- and 80 files in other folders" and len(within) == 13


OURS = marked("ours")


@pytest.mark.parametrize(
    ("template", "body"),
    [
        ("", OURS),
        ("## Description\n\n<!-- what? -->\n\n## Checklist\n- [ ] tested\n",
         f"## Description\n\n{OURS}\n<!-- what? -->\n\n## Checklist\n- [ ] tested\n"),
        ("Thanks!\n\n**What changes**\n", f"Thanks!\n\n**What changes**\n\n{OURS}"),
        ("- [ ] I have read CONTRIBUTING\r\n", f"{OURS}\n- [ ] I have read CONTRIBUTING\n"),
        ("---\nname: x\nabout: y\n---\n# Summary\n", f"# Summary\n\n{OURS}"),
        ("long " * 2000, OURS),
    ],
)  # fmt: skip
def test_a_template_of_the_repository_keeps_its_text_around_ours(template: str, body: str) -> None:
    made = placed(template, OURS)
    assert made == body
    assert refreshed(made, "newer") == body.replace("ours", "newer")
