"""The real command lines of agents, installed here by `./justw test`."""

from __future__ import annotations

from pathlib import Path

BIN = Path(__file__).parent / "node_modules" / ".bin"


def program(name: str) -> str:
    """The path of an installed agent; a test that needs it fails without it."""
    path = BIN / name
    if not path.exists():
        raise AssertionError(f"{name} is not installed: run `tools/install.sh tests`")
    return str(path)
