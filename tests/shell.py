"""A person at a shell: what they run has an author, and nothing of this machine's account changes what git does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_ACCOUNT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
_AUTHOR = {
    "GIT_AUTHOR_NAME": "x",
    "GIT_AUTHOR_EMAIL": "x@y",
    "GIT_COMMITTER_NAME": "x",
    "GIT_COMMITTER_EMAIL": "x@y",
}


def sh(folder: Path, *argv: str, check: bool = True) -> str:
    """Run a command; its output. Fails with what it said where it doesn't succeed, unless `check` is False."""
    environment = {**_ACCOUNT, **os.environ, **_AUTHOR}
    done = subprocess.run(argv, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout.strip("\n")


def git(folder: Path, *arguments: str) -> str:
    """Run git; its output. Fails where it doesn't succeed."""
    return sh(folder, "git", *arguments)
