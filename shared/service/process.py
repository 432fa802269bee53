"""How a service's process starts and ends: signals, the sign that it is ready, one line for what can't go on."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine

import structlog

from shared.config import ConfigError, Settings, load
from shared.config.home import check_home
from shared.service.closing import close_to_others, outlive_full_logs
from shared.service.logs import configure_logs
from shared.service.scraping import serve_metrics
from shared.service.watchdog import Watchdog, beat
from shared.store.migrate import DatabaseRefused

Main = Callable[[Settings, asyncio.Event], Coroutine[None, None, None]]
Loop = Callable[[Coroutine[None, None, None]], None]
"""Runs a coroutine to its end in an event loop."""

_starter: int | None = None
"""Where whoever started this process listens."""
STOP_SECONDS = 9.0
"""What a process is given to end by itself once it is asked to; longer than a daemon takes to hand back its work."""


def begin() -> Settings:
    """What every process of the cluster does first; the settings in force. Raises ConfigError."""
    close_to_others()
    outlive_full_logs()
    configure_logs()
    settings = load(os.environ)
    configure_logs(settings.log_level, settings.log_mib << 20)
    check_home(settings.home)
    return settings


def ready() -> None:
    """Tell whoever started this process that it is ready, by a byte on the descriptor MAKIMA_READY_FD.

    What it has made until now stays: the garbage collector never looks at it again, which takes 10 ms and more a time.
    """
    global _starter
    gc.freeze()
    if descriptor := os.environ.pop("MAKIMA_READY_FD", None):
        _starter = int(descriptor)
        os.set_blocking(_starter, False)
        os.set_inheritable(_starter, False)
        still_here()


def still_here() -> None:
    """Tell whoever started this process, once it was ready, that its loop goes round: by one more byte."""
    global _starter
    if _starter is None:
        return
    try:
        os.write(_starter, b".")
    except BlockingIOError:
        return  # it doesn't listen just now
    except OSError:
        os.close(_starter)  # it wanted to know that this is ready, and no more
        _starter = None


async def _until_stopped(name: str, serving: Coroutine[None, None, None], stop: asyncio.Event) -> None:
    """Serve; asked to stop, end within STOP_SECONDS, wherever it is: it may still wait for Postgres at its start."""
    task, stopped = asyncio.ensure_future(serving), asyncio.create_task(stop.wait())
    await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    await asyncio.wait((task,), timeout=STOP_SECONDS)
    if not task.done():
        structlog.get_logger().warning("ended in the middle of its work", service=name, after_seconds=STOP_SECONDS)
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.result()


def fastest(body: Coroutine[None, None, None]) -> None:
    """In the loop that is fastest at sending and receiving messages."""
    import uvloop

    uvloop.run(body)


def _own_name(settings: Settings, name: str) -> str:
    """What tells a process from others of its service where it is counted."""
    return settings.daemon_name or socket.gethostname() if name == "daemon" else name


def run(name: str, main: Main, loop: Loop = fastest) -> int:
    """Run a service until it ends or is asked to by SIGTERM or SIGINT (`stop` is set); its exit code."""
    try:
        settings = begin()
    except ConfigError as error:
        print(f"makima: {error}", file=sys.stderr)
        return 1

    serve_metrics(settings, name, _own_name(settings, name))
    watchdog = Watchdog(tell=still_here)

    async def body() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        structlog.contextvars.bind_contextvars(service=name)
        watchdog.start()
        beating = asyncio.create_task(beat(watchdog))
        try:
            await _until_stopped(name, main(settings, stop), stop)
        finally:
            beating.cancel()

    try:
        loop(body())
    except (ConfigError, OSError, DatabaseRefused) as error:
        print(f"makima {name}: {error}", file=sys.stderr)
        return 1
    except ExceptionGroup:
        structlog.get_logger().exception("service broke", service=name)
        return 1
    return 0
