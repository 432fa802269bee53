"""How a person is told to look at what was delivered."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.reviewing import looking
from tests.shown import directive


def delivered(**more: object) -> str | None:
    return looking(directive(status="completed", **{"standing": "delivered", "pr_branch": "makima/d-1", **more}))  # type: ignore[arg-type]


def test_a_branch_of_a_folder_is_seen_from_wherever_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "a site"
    (repository / ".git").mkdir(parents=True)
    (repository / "src").mkdir()
    assert delivered(repository_url=str(repository)) == f"git -C '{repository}' diff HEAD...makima/d-1"
    for here in (repository, repository / "src"):
        monkeypatch.chdir(here)
        assert delivered(repository_url=str(repository), base_branch="main") == "git diff main...makima/d-1"


def test_a_branch_of_a_remote_is_fetched_first() -> None:
    looks = "git fetch https://h/a.git makima/d-1 && git diff HEAD...FETCH_HEAD"
    assert delivered(repository_url="https://h/a.git") == looks


@pytest.mark.parametrize(
    "more",
    [
        {"pr_url": "https://h/a/pull/1"},
        {"merge_into_base": True},
        {"standing": "merged"},
        {"standing": "running"},
        {"pr_branch": None},
        {"repository_url": None},
        {"repository_url": "/on/another/machine"},
    ],
)
def test_nothing_is_said_where_a_pull_request_shows_it_or_nothing_is_left_to_look_at(more: dict[str, object]) -> None:
    assert delivered(**{"repository_url": "https://h/a.git", **more}) is None
