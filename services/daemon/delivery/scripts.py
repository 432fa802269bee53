"""A command line of the repository's own, run in a worktree to its end, with nothing of the daemon's environment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from pathlib import Path

from services.daemon.agents import environment
from services.daemon.delivery.checking import Outcome
from services.daemon.processes import programs
from shared.config.agents import AgentSettings
from shared.messages.commands import SpawnTask

KEPT_BYTES = 16_000
PIPE_SECONDS = 2.0


async def run(line: str, worktree: Path, command: SpawnTask, timeout_seconds: float) -> Outcome:
    """Run `bash -c line`; whether it ended with 0, and the end of what it printed. Its process group is ended."""
    surroundings = environment.build(command, AgentSettings(kind="shell"), os.environ, {})
    surroundings.pop("MAKIMA_TOKEN", None)
    process = await programs.start(
        "bash",
        "-c",
        line,
        cwd=worktree,
        env=surroundings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    kept: deque[bytes] = deque()
    reading = asyncio.create_task(_read(process, kept))
    try:
        async with asyncio.timeout(timeout_seconds):
            code = await process.wait()
        await asyncio.wait((reading,), timeout=PIPE_SECONDS)
        end = "" if code == 0 else f"\n[exit code {code}]"
    except TimeoutError:
        code, end = -1, f"\n[not done after {timeout_seconds:g} s: ended]"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        reading.cancel()
        process.close()
    output = b"".join(kept)[-KEPT_BYTES:].decode(errors="replace").replace("\0", "")
    return Outcome(passed=code == 0, output=output + end)


async def _read(process: asyncio.subprocess.Process, kept: deque[bytes]) -> None:
    assert process.stdout is not None
    size = 0
    while chunk := await process.stdout.read(65536):
        kept.append(chunk)
        size += len(chunk)
        while size - len(kept[0]) >= KEPT_BYTES:
            size -= len(kept.popleft())
