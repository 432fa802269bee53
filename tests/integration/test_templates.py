"""The repository's own template of a pull request: found wherever its forge looks, and cheaply."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.daemon.delivery import describing
from services.daemon.delivery.describing import template_of
from tests.shell import git


def committed(folder: Path, files: Mapping[str, str]) -> str:
    """A bare repository whose main holds these files, made by one stream; its commit."""
    git(folder, "init", "--quiet", "--bare", "-b", "main", ".")
    stream = ["commit refs/heads/main\ncommitter A <a@example.org> 0 +0000\ndata 1\nx\n"]
    stream += [f"M 100644 inline {path}\ndata {len(text)}\n{text}\n" for path, text in files.items()]
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input="".join(stream).encode(), check=True)
    return git(folder, "rev-parse", "main").strip()


@pytest.mark.parametrize(
    ("forge", "files", "found"),
    [
        ("github", {".github/PULL_REQUEST_TEMPLATE.md": "ours", "pull_request_template.md": "other"}, "ours"),
        ("github", {"Docs/Pull_Request_Template.txt": "ours"}, "ours"),
        ("github", {"src/docs/pull_request_template.md": "no place"}, ""),
        ("gitea", {".gitea/pull_request_template.md": "ours", ".github/pull_request_template.md": "other"}, "ours"),
        ("gitlab", {".gitlab/merge_request_templates/Default.md": "ours"}, "ours"),
        ("gitlab", {".gitlab/merge_request_templates/other.md": "not that"}, ""),
        ("", {"pull_request_template.md": "no forge"}, ""),
        ("github", {"pull_request_template.md": "x" * (describing.MAX_TEMPLATE_BYTES + 1)}, ""),
    ],
)
async def test_a_template_is_where_its_forge_looks(
    tmp_path: Path, forge: str, files: Mapping[str, str], found: str
) -> None:
    commit = committed(tmp_path, {"README.md": "hello", **files})
    assert await template_of(tmp_path, commit, forge) == found


async def test_only_the_folders_that_lead_to_a_template_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {f"src/{n // 100}/{n}.py": "" for n in range(20_000)}
    commit = committed(tmp_path, {**many, ".github/pull_request_template.md": "ours"})
    printed: list[str] = []
    real = describing.git

    async def heard(*asked: object) -> str:
        printed.append(await real(*asked))  # type: ignore[arg-type]
        return printed[-1]

    monkeypatch.setattr(describing, "git", heard)
    assert await template_of(tmp_path, commit, "github") == "ours"
    assert sum(map(len, printed)) < 1000
