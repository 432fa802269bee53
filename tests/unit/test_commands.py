"""Every command can be declared, says what it is for, and loads only what it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cli.main import COMMANDS
from tests.conftest import ROOT


def loaded_by(*words: str) -> set[str]:
    """The modules that are loaded once a command line has been read."""
    code = f"""
import sys
from cli.main import _parser
try:
    _parser({list(words)!r}).parse_args({list(words)!r})
except SystemExit as error:
    assert error.code == 0, error
print(" ".join(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split("\n")[-2].split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    assert f"cli.{command}" in loaded_by(command, "--help") or command not in ("directive", "task", "daemon")


def test_what_agents_wait_for_loads_no_heavy_library() -> None:
    loaded = loaded_by("directive", "add-step", "x", "--directive", "y")
    assert not loaded & {"rich", "yaml", "msgspec", "psycopg", "zmq", "httpx", "asyncio", "shared.config", "services"}
