"""Titles, goals, names, plans and outputs that would like to be more than texts: shown, and no more, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from shared.domain.plain import plain
from tests.conftest import git
from tests.faults import jobs
from tests.faults.conftest import Faulty
from tests.nothing_lost import assert_nothing_lost, rows

TEXTS = {
    "a shell's": "$(touch TRAP) `touch TRAP`; touch TRAP | touch TRAP && touch TRAP > TRAP # '\"",
    "a path": "../../../../../etc/passwd/../TRAP",
    "SQL": "'); DROP TABLE makima.task; -- \\'; %s %(id)s $1",
    "HTML": "<script>alert('x')</script><img src=x onerror=alert(1)>&amp;",
    "a terminal's": "\x1b[2J\x1b]0;owned\x07\x1b[31mred\x9b31m\r\b\x7f",
    "lines": "one\ntwo\r\nthree\u2028four",
    "letters": "Ω" * 3000,
    "emoji": "👩‍👩‍👧‍👦🏴‍☠️ \u202egnirts desrever\u202c",
    "an option": "--upload-pack=touch TRAP",
    "a git ref": "-x..y~1^{}:?*[\\ .lock@{",
    "a format's": "{0.__class__} {{7*7}} ${jndi:ldap://x} %n%x",
}
"""By what they would like to be. TRAP is a file that nobody may make."""
SAMPLE = ("a shell's", "a terminal's", "SQL")


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    return tmp_path / "trap"


@pytest.mark.parametrize("kind", [k if k in SAMPLE else pytest.param(k, marks=pytest.mark.long) for k in TEXTS])
def test_a_hostile_text_is_shown_and_no_more(faulty: Faulty, origin: Path, trap: Path, kind: str) -> None:
    text = TEXTS[kind].replace("TRAP", str(trap))
    said = origin.parent / "said.txt"
    said.write_text(text)
    steps = [
        {
            "name": text[:200],
            "description": text,
            "taskPlan": f"cat {said}; echo done > done.txt\n: <<'END'\n{text}\nEND",
        },
        {"name": "after", "dependsOn": [text[:200]], "taskPlan": "cat done.txt > after.txt"},
    ]
    path = origin.parent / "plan.json"
    path.write_text(json.dumps(steps))
    directive = jobs.make(
        faulty, "directive", "create", f"--title={text[:200]}", f"--goal={text}", "--start",
        "--repo", str(origin), "--plan", str(path),
    )  # fmt: skip
    jobs.await_status(faulty, directive, "completed")
    shown = faulty.show(directive)
    assert (shown["title"], shown["goal"]) == (plain(text[:200]), plain(text))
    assert shown["steps"][0]["name"] == plain(text[:200])
    for words in (("show", directive), ("list",), ("log", directive), ("graph", directive), ("export", directive)):
        printed = faulty.makima("directive", *words)
        assert not set(printed) & set("\x00\x07\x08\r\x7f\x9b\u202e"), (
            f"makima directive {words[0]} lets control characters out"
        )
        assert "\x1b]" not in printed and "\x1b[2J" not in printed
    assert "\x1b" not in faulty.makima("task", "log", shown["steps"][0]["task_id"])
    delivered = git(origin, "ls-tree", "-r", "--name-only", shown["pr_branch"]).splitlines()
    assert set(delivered) == {"README.md", "done.txt", "after.txt"}
    assert not trap.exists()
    assert rows(faulty, "SELECT FROM makima.task"), "the tables are still there"
    assert_nothing_lost(faulty)


@pytest.mark.parametrize("where", ["title", "goal", "name", "taskPlan"])
def test_a_nul_is_refused_in_a_line_and_makes_nothing(faulty: Faulty, where: str) -> None:
    step = {"name": "x", "taskPlan": "true"}
    body = {"title": "x", "goal": "x", "steps": [{**step, where: "a\0b"} if where in step else step]}
    if where not in step:
        body[where] = "a\0b"
    before = rows(faulty, "SELECT count(*) AS many FROM makima.directive")
    address = f"http://127.0.0.1:{faulty.environment['MAKIMA_PORT']}/v1/directives"
    token = (faulty.home / "token").read_text().strip()
    answer = httpx.post(address, json=body, headers={"authorization": f"Bearer {token}"}, timeout=30)
    assert answer.status_code == 422, answer.text
    assert "NUL" in answer.json()["detail"] and "\n" not in answer.json()["detail"]
    assert rows(faulty, "SELECT count(*) AS many FROM makima.directive") == before
