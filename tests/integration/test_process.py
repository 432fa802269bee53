"""How a service's process ends when it is asked to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 30.0
SERVICE = """
import asyncio, sys
from shared.service import process

process.STOP_SECONDS = 0.3

async def main(settings, stop):
    print("begun", flush=True)
    {body}

sys.exit(process.run("a service", main))
"""


def ended(folder: Path, body: str) -> tuple[int, str]:
    """The exit code and the last words of a service that is asked to end once it has begun."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MAKIMA_HOME": str(folder)}
    argv = [sys.executable, "-c", SERVICE.format(body=body)]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == "begun\n"
        service.send_signal(signal.SIGTERM)
        try:
            _, said = service.communicate(timeout=DEADLINE_SECONDS)
        finally:
            service.kill()
    return service.returncode, said


def test_it_ends_by_itself_when_it_hears_the_wish(tmp_path: Path) -> None:
    assert ended(tmp_path, "await stop.wait()") == (0, "")


@pytest.mark.parametrize("body", ["await asyncio.sleep(3600)", "await asyncio.Event().wait()"])
def test_it_ends_though_it_waits_for_something_that_never_comes(tmp_path: Path, body: str) -> None:
    code, said = ended(tmp_path, body)
    assert code == 0
    assert "ended in the middle of its work" in said


def test_what_broke_while_it_ended_is_not_hidden(tmp_path: Path) -> None:
    code, said = ended(tmp_path, "await stop.wait(); raise OSError('the disk is full')")
    assert code == 1
    assert "makima a service: the disk is full" in said
