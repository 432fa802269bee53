"""The real programs that tests run beside git: gh, git-lfs and Node, installed by `./justw test` into .venv."""

from __future__ import annotations

import shutil


def program(name: str) -> str:
    """The path of one of them; a test that needs it fails without it."""
    path = shutil.which(name)
    if path is None:
        raise AssertionError(f"{name} is not on PATH: run `tools/install.sh tests`, and put .venv/bin on PATH")
    return path
