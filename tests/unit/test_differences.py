"""What is compared is named as a daemon told it: nothing of that is taken for an option of git's."""

import asyncio
from pathlib import Path

import pytest
from litestar.exceptions import NotFoundException

from services.gateway.git.differences import since_first
from tests.conftest import git

WHOLE = "a" * 40


@pytest.mark.parametrize("told", ["--output=made", "HEAD", "a" * 39, f"{WHOLE}\n", "main..HEAD", ""])
@pytest.mark.parametrize("first", [True, False])
def test_what_names_no_commit_whole_reaches_no_git(tmp_path: Path, told: str, first: bool) -> None:
    git(tmp_path, "init", "--quiet")
    commits = (told, WHOLE) if first else (WHOLE, told)
    with pytest.raises(NotFoundException):
        asyncio.run(since_first(str(tmp_path), *commits))
    assert [path.name for path in tmp_path.iterdir()] == [".git"]
