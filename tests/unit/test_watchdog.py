"""A process whose event loop is stuck ends itself; one that is only busy, or was frozen, goes on."""

import subprocess
import sys

from shared.service.watchdog import EXIT_CODE
from tests.conftest import ROOT

BODY = """
import asyncio, time
from shared.service.watchdog import Watchdog, beat

async def main():
    watchdog = Watchdog(stuck_seconds=1.0)
    watchdog.start()
    beating = asyncio.create_task(beat(watchdog, 0.1))
    await asyncio.sleep(0.2)  # so that it has beaten before
    {work}
    print("done")

asyncio.run(main())
"""


def run(work: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", BODY.format(work=work)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_stuck_loop_ends_the_process() -> None:
    ended = run("time.sleep(40)")
    assert ended.returncode == EXIT_CODE
    assert "stuck" in ended.stdout + ended.stderr


def test_a_loop_that_goes_round_does_not() -> None:
    assert run("await asyncio.sleep(2.5)").stdout == "done\n"
