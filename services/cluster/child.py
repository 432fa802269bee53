"""One supervised process: started, restarted with backoff when it dies, ended with its whole group."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import structlog

from shared.metrics import RESTARTS
from shared.service.logs import FILE
from shared.store.embedded import Launch

log = structlog.get_logger()

FIRST_BACKOFF_SECONDS = 0.1
LONGEST_BACKOFF_SECONDS = 10.0
SILENT_SECONDS = 6.0
"""A process that was ready and has said nothing for so long, though it does so every second, stands still."""
STEADY_SECONDS = 10.0
"""Having lived so long, a process that dies is restarted at once again."""
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Child:
    """A process by name. `ready` is set when it has said that it is. `prepare` is called before each start."""

    def __init__(
        self,
        name: str,
        launch: Launch,
        environment: Mapping[str, str],
        logs: Path,
        *,
        prepare: Callable[[], None] = lambda: None,
        stop_signal: signal.Signals = signal.SIGTERM,
        says_ready: bool = True,
    ) -> None:
        self.name = name
        self.ready = asyncio.Event()
        self.restarts = 0
        RESTARTS.add(name, by=0)
        self.broken: str | None = None
        """Why it isn't there, from its death until it says that it is ready again."""
        self.broken_since = 0.0
        self._heard_at = 0.0
        self.process: asyncio.subprocess.Process | None = None
        self._launch = launch
        self._prepare = prepare
        self._environment = dict(environment)
        self._log = logs / f"{name}.log"
        self._stop_signal = stop_signal
        self._says_ready = says_ready
        self._supervising: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start and supervise it."""
        self._supervising = asyncio.create_task(self._supervise())

    async def stop(self, within_seconds: float) -> None:
        """End it: its signal, and when time is up SIGKILL to its group."""
        if self._supervising is not None:
            self._supervising.cancel()
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.send_signal(self._stop_signal)
        try:
            await asyncio.wait_for(process.wait(), within_seconds)
        except TimeoutError:
            log.warning("killed", process=self.name, after_seconds=within_seconds)
        _kill_group(process.pid)
        await process.wait()

    async def _supervise(self) -> None:
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            started = time.monotonic()
            try:
                code = await self._run_once()
                why = f"signal {-code}" if code < 0 else f"exit code {code}"
            except OSError as error:  # no room for a log, no more processes: it may go the next time
                why = f"can't be started: {error}"
            if time.monotonic() - started > STEADY_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            if self.broken is None:
                self.broken_since = time.time()
            self.broken = why
            log.warning("process died", process=self.name, why=why, restart_in=backoff)
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
            self.restarts += 1
            RESTARTS.add(self.name)

    async def _run_once(self) -> int:
        self.ready.clear()
        await asyncio.to_thread(self._prepare)
        with self._log.open("ab") as output:
            receiver = await self._begin(output)
        if not self._says_ready:
            self.broken = None
        assert self.process is not None
        os.set_blocking(receiver, False)
        loop = asyncio.get_running_loop()
        loop.add_reader(receiver, self._heard, receiver)
        try:
            return await self.process.wait()
        finally:
            loop.remove_reader(receiver)
            os.close(receiver)
            if self.process.returncode is not None:
                _kill_group(self.process.pid)

    async def _begin(self, output: IO[bytes]) -> int:
        """Start it; the descriptor on which it says that it is ready."""
        receiver, sender = os.pipe()
        environment = dict(self._environment)
        if self._says_ready:
            environment |= {"MAKIMA_READY_FD": str(sender), FILE: str(self._log)}
        launch = self._launch
        try:
            self.process = await asyncio.create_subprocess_exec(
                *launch.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                user=launch.user,
                group=launch.group,
                extra_groups=launch.groups,
                pass_fds=(*launch.descriptors, *((sender,) if self._says_ready else ())),
                start_new_session=True,
                preexec_fn=self._die_with_parent,
            )
        except OSError:
            os.close(receiver)
            raise
        finally:
            os.close(sender)
        return receiver

    def _heard(self, receiver: int) -> None:
        if not os.read(receiver, 4096):
            asyncio.get_running_loop().remove_reader(receiver)
            return
        self._heard_at = time.monotonic()
        if not self.ready.is_set():
            self.ready.set()
            self.broken = None
            log.info("process ready", process=self.name, restarts=self.restarts)

    @property
    def trouble(self) -> tuple[str, float] | None:
        """What is wrong with it, and since when (Unix time): it isn't there, or its loop stands still."""
        if self.broken is not None:
            return self.broken, self.broken_since
        silent = time.monotonic() - self._heard_at
        if self.ready.is_set() and silent > SILENT_SECONDS:
            return "it doesn't answer", time.time() - silent
        return None

    def _die_with_parent(self) -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(self._stop_signal))


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # nothing of it is left, as it should be
