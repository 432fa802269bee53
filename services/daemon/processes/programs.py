"""How the daemon starts a program: its exit is known at once, whoever still holds the pipes that it was given open."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, Process, SubprocessStreamProtocol
from collections.abc import Mapping
from pathlib import Path

READ_AHEAD_BYTES = 64 << 10
"""So much of its output is read ahead."""


class Started:
    """The programs that this process started itself, by their ids: what else it has for children it adopted."""

    def __init__(self) -> None:
        self._ids: set[int] = set()
        self._forking = 0

    @property
    def known(self) -> frozenset[int] | None:
        """The ids of those that may still run; None while one is being started, whose id isn't known yet."""
        return frozenset(self._ids) if not self._forking else None

    def begin(self) -> None:
        """One is about to be started."""
        self._forking += 1

    def began(self, process: int | None) -> None:
        """It was, or could not be."""
        self._forking -= 1
        if process is not None:
            self._ids.add(process)

    def ended(self, process: int) -> None:
        """It has been waited for: its id may be another's."""
        self._ids.discard(process)


started = Started()


class Program(Process):
    """A program that runs, as asyncio has it. Before Python 3.12.4 `wait` there waits for its pipes, too."""

    def __init__(
        self,
        transport: asyncio.SubprocessTransport,
        protocol: SubprocessStreamProtocol,
        loop: asyncio.AbstractEventLoop,
        exited: asyncio.Event,
    ) -> None:
        super().__init__(transport, protocol, loop)
        self._of = transport
        self._exited = exited

    async def wait(self) -> int:
        """Wait for its exit; its code, or negative the signal that ended it."""
        await self._exited.wait()
        code = self.returncode
        assert code is not None
        return code

    def close(self) -> None:
        """Let go of its pipes, whoever holds their other ends."""
        self._of.close()


class _Noticing(SubprocessStreamProtocol):
    def __init__(self, loop: asyncio.AbstractEventLoop, exited: asyncio.Event) -> None:
        super().__init__(limit=READ_AHEAD_BYTES, loop=loop)
        self._exited = exited
        self.process: int | None = None

    def process_exited(self) -> None:
        super().process_exited()
        if self.process is not None:
            started.ended(self.process)
        self._exited.set()


async def start(
    *argv: str | bytes,
    cwd: Path,
    env: Mapping[str, str],
    stdin: int = DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
) -> Program:
    """Start a program in a session of its own. Raises OSError."""
    loop, exited = asyncio.get_running_loop(), asyncio.Event()
    process = None
    started.begin()
    try:
        transport, protocol = await loop.subprocess_exec(
            lambda: _Noticing(loop, exited),
            *argv,
            cwd=cwd,
            env=env,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        if not exited.is_set():
            process = protocol.process = transport.get_pid()
    finally:
        started.began(process)
    return Program(transport, protocol, loop, exited)
