"""Running the `shell` agent: a script in a worktree, in a session of its own, its output in batches."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from services.daemon.git import IDENTITY
from shared.messages.commands import SpawnTask

BATCH_SECONDS = 0.2
BATCH_BYTES = 64 << 10
LONGEST_LINE = 16 << 10
GRACE_SECONDS = 5.0
PIPE_SECONDS = 1.0
CANT_PLAN = "the shell agent can't plan prose: give --plan, or a fenced sh block"
_FENCED = re.compile(r"^```sh\s*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)

Lines = Callable[[list[str]], None]


class AgentFailed(RuntimeError):
    """Why an agent can't run at all."""


def script(command: SpawnTask) -> str:
    """What the shell agent runs: a step's plan, or the last fenced sh block of a planning's prompt."""
    if command.agent != "shell":
        raise AgentFailed(f"this daemon has no agent {command.agent!r}; give the directive --agent shell")
    if command.kind != "plan":
        return command.prompt
    blocks = _FENCED.findall(command.prompt)
    if not blocks:
        raise AgentFailed(CANT_PLAN)
    return str(blocks[-1])


def environment(command: SpawnTask) -> dict[str, str]:
    """An agent's environment, built up from nothing."""
    kept = {k: os.environ[k] for k in ("HOME", "USER", "LANG", "TMPDIR") if k in os.environ}
    return {
        **IDENTITY,
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        **command.environment,
        "MAKIMA_TASK_ID": str(command.task),
        "MAKIMA_DIRECTIVE_ID": str(command.directive),
        "MAKIMA_ATTEMPT": str(command.attempt),
        "MAKIMA_TOKEN": command.token,
    }


async def run(text: str, folder: Path, variables: dict[str, str], lines: Lines) -> int:
    """Run a script to its end; its exit code (negative: the signal). Cancelled, it ends the whole process group."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        text,
        cwd=folder,
        env=variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    reading = asyncio.create_task(_read(process.stdout, lines))
    try:
        code = await process.wait()
        await asyncio.wait((reading,), timeout=PIPE_SECONDS)
        return code
    finally:
        await _end(process)
        reading.cancel()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        _signal(process.pid, signal.SIGTERM)
        await asyncio.wait((asyncio.ensure_future(process.wait()),), timeout=GRACE_SECONDS)
    _signal(process.pid, signal.SIGKILL)
    await process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return  # the whole group has ended


async def _read(stream: asyncio.StreamReader, lines: Lines) -> None:
    """Hand on complete lines by time or size, never one by one; an endless one is cut with a mark."""
    rest = b""
    while chunk := await stream.read(BATCH_BYTES):
        deadline = asyncio.get_running_loop().time() + BATCH_SECONDS
        while len(chunk) < BATCH_BYTES and (left := deadline - asyncio.get_running_loop().time()) > 0:
            try:
                more = await asyncio.wait_for(stream.read(BATCH_BYTES), left)
            except TimeoutError:
                break
            if not more:
                break
            chunk += more
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST_LINE:
            whole.append(rest)
            rest = b""
        lines([_text(line) for line in whole])
    if rest:
        lines([_text(rest)])


def _text(line: bytes) -> str:
    shown = line[:LONGEST_LINE].decode(errors="replace").replace("\0", "")
    return f"{shown} [{len(line) - LONGEST_LINE} bytes cut]" if len(line) > LONGEST_LINE else shown
