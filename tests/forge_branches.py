"""What people do to the branches of a bare repository on a forge: merge, squash, rebase, push, delete."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

How = Literal["merge", "squash", "rebase"]
_WHO = {f"GIT_{who}_{what}": "Ada" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(repository: Path, *arguments: str, **variables: str) -> str:
    """Run git there as a person would; its output."""
    environment = {**os.environ, **_WHO, **variables}
    done = subprocess.run(
        ("git", *arguments), cwd=repository, check=True, capture_output=True, text=True, env=environment
    )
    return done.stdout.strip()


def commit_of(repository: Path, branch: str) -> str | None:
    """The commit of a branch; None when it isn't there."""
    return git(repository, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}") or None


def merge(repository: Path, branch: str, base: str, how: How = "merge") -> str:
    """Bring a branch into a base branch as a forge does; the base's new commit."""
    one, other = commit_of(repository, base), commit_of(repository, branch)
    assert one and other, f"{base} or {branch} is not there"
    if how == "rebase":
        with tempfile.TemporaryDirectory() as folder:
            git(repository, "worktree", "add", "--quiet", "--detach", folder, other)
            git(Path(folder), "rebase", "--quiet", one)
            made = git(Path(folder), "rev-parse", "HEAD")
            git(repository, "worktree", "remove", "--force", folder)
    else:
        tree = git(repository, "merge-tree", "--write-tree", one, other)
        parents = ("-p", one, *(("-p", other) if how == "merge" else ()))
        made = git(repository, "commit-tree", tree, *parents, "-m", f"{how.title()} {branch}")
    git(repository, "update-ref", f"refs/heads/{base}", made, one)
    return made


def push(repository: Path, branch: str, name: str, text: str = "by hand\n") -> str:
    """A person's commit on top of a branch, which adds a file; its id."""
    before = commit_of(repository, branch)
    assert before, f"{branch} is not there"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "text").write_text(text)
        index = {"GIT_INDEX_FILE": f"{folder}/index"}
        git(repository, "read-tree", before, **index)
        blob = git(repository, "hash-object", "-w", f"{folder}/text")
        git(repository, "update-index", "--add", "--cacheinfo", f"100644,{blob},{name}", **index)
        tree = git(repository, "write-tree", **index)
    made = git(repository, "commit-tree", tree, "-p", before, "-m", f"Add {name} by hand")
    git(repository, "update-ref", f"refs/heads/{branch}", made, before)
    return made


def delete(repository: Path, branch: str) -> None:
    """Remove a branch, wherever it is."""
    git(repository, "update-ref", "-d", f"refs/heads/{branch}")
