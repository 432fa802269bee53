"""The daemon's index files, read and fixed without git, as git itself then reads them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.daemon.git.index_file import attributes_of, settle
from tests.shell import git

CHARACTERS = {"sha1": 40, "sha256": 64}


@pytest.fixture(params=sorted(CHARACTERS))
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, int]:
    folder = tmp_path / "r"
    git(tmp_path, "init", "-q", f"--object-format={request.param}", str(folder))
    for name in (".gitattributes", "art/.gitattributes", "a/b/c/.gitattributes", "x.gitattributes", "art/photo.bin"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\n")
    git(folder, "add", ".")
    (folder / "later").mkdir()
    (folder / "later/.gitattributes").write_text("later\n")
    git(folder, "add", "--intent-to-add", "later/.gitattributes")  # an entry with more flags: version 3
    return folder, CHARACTERS[request.param]


def test_the_attribute_files_of_an_index_are_those_that_git_lists(repository: tuple[Path, int]) -> None:
    folder, characters = repository
    lines = git(folder, "ls-files", "--stage", "*.gitattributes").splitlines()
    listed = {line.partition("\t")[2]: line.split()[1] for line in lines if not line.endswith("x.gitattributes")}
    assert len(listed) == 4
    assert attributes_of(folder / ".git/index", characters) == listed


def test_a_file_that_is_settled_is_unchanged_until_it_is_touched(repository: tuple[Path, int]) -> None:
    folder, characters = repository
    blob = git(folder, "rev-parse", ":art/photo.bin")
    (folder / "art/photo.bin").write_text("contents of another size\n")
    os.utime(folder / "art/photo.bin", (1, 1))  # older than the index
    assert git(folder, "diff", "--name-only", "--", "art").splitlines() == ["art/photo.bin"]
    settle(folder / ".git/index", folder, {"art/photo.bin": "0" * characters}, characters)
    assert git(folder, "diff", "--name-only", "--", "art").splitlines() == ["art/photo.bin"]
    settle(folder / ".git/index", folder, {"art/photo.bin": blob}, characters)
    assert git(folder, "diff", "--name-only", "--", "art") == ""
    assert git(folder, "fsck") == ""
    (folder / "art/photo.bin").write_text("contents of another length still\n")
    assert git(folder, "diff", "--name-only", "--", "art").splitlines() == ["art/photo.bin"]
