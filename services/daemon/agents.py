"""Running the `shell` agent: a script in a worktree, in a session of its own, its output in batches."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from services.daemon import processes
from services.daemon.git import fallback_identity
from services.daemon.output import Output
from services.daemon.processes import Group
from shared.messages.commands import SpawnTask

BATCH_SECONDS = 0.2
BATCH_BYTES = 64 << 10
PIPE_SECONDS = 1.0
LEFTOVER_GRACE_SECONDS = 1.0
CANT_PLAN = "the shell agent can't plan prose: give --plan, or a fenced sh block"
_FENCED = re.compile(r"^```sh[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)

Lines = Callable[[list[str]], None]
Started = Callable[[Group], None]


class AgentFailed(RuntimeError):
    """Why an agent can't run at all; trying again can't mend it."""


def script(command: SpawnTask) -> str:
    """What the shell agent runs: a step's plan, or for a plan its last fenced sh block. Raises AgentFailed."""
    if command.agent != "shell":
        raise AgentFailed(f"this daemon can't run the agent {command.agent!r}: give the directive --agent shell")
    if command.kind != "plan":
        return command.prompt
    blocks = _FENCED.findall(command.prompt)
    if not blocks:
        raise AgentFailed(CANT_PLAN)
    return str(blocks[-1])


def environment(command: SpawnTask) -> dict[str, str]:
    """An agent's environment, built up from nothing."""
    kept = {k: os.environ[k] for k in ("HOME", "USER", "LANG") if k in os.environ}
    return {
        **dict(fallback_identity()),
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        **command.environment,
        **processes.marker(command.task, command.attempt),
        "MAKIMA_DIRECTIVE_ID": str(command.directive),
        "MAKIMA_TOKEN": command.token,
    }


async def run(
    command: SpawnTask, run_folder: Path, worktree: Path, output: Output, lines: Lines, started: Started
) -> int:
    """Run a command's script to its end; its exit code (negative: the signal).

    The script's file lies in `run_folder`, outside the worktree. However this ends (by itself, cancelled, timed
    out), all of the attempt's processes have ended on return. Raises AgentFailed and OSError.
    """
    text = script(command)
    run_folder.mkdir(parents=True, exist_ok=True)
    file = run_folder / "script.sh"
    file.write_text(text.replace("\0", ""), encoding="utf-8", errors="replace")
    reading_end, writing_end = os.pipe()
    reader = asyncio.StreamReader(limit=BATCH_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading_end, "rb", buffering=0)
    )
    group: Group | None = None
    grace = processes.GRACE_SECONDS
    pumping = asyncio.create_task(_pump(reader, output, lines))
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                "bash",
                "-euo",
                "pipefail",
                str(file),
                cwd=worktree,
                env=environment(command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing_end,
                stderr=writing_end,
                start_new_session=True,
            )
        finally:
            os.close(writing_end)
        group = processes.group_of(process.pid)
        started(group)
        code = await process.wait()
        await asyncio.wait((pumping,), timeout=PIPE_SECONDS)
        grace = LEFTOVER_GRACE_SECONDS
        return code
    finally:
        await asyncio.shield(processes.end(command.task, command.attempt, group, grace))
        await asyncio.wait((pumping,), timeout=0.1)
        pumping.cancel()
        await asyncio.wait((pumping,))
        transport.close()


async def _pump(reader: asyncio.StreamReader, output: Output, lines: Lines) -> None:
    """Hand on complete lines by time or size, never one by one."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def flush() -> None:
        nonlocal timer
        if timer is not None:
            timer.cancel()
            timer = None
        if taken := output.take():
            lines(taken)

    try:
        while chunk := await reader.read(BATCH_BYTES):
            output.feed(chunk)
            if output.waiting_bytes >= BATCH_BYTES:
                flush()
            elif timer is None:
                timer = loop.call_later(BATCH_SECONDS, flush)
    finally:
        output.finish()
        flush()
