"""Processes of the product that cost a test no start of Python: forked from one that has loaded their modules already.

    process = start("services.monitor", environment, log)      # as `python -m services.monitor`

Each is a real process with an id, an environment and standard streams of its own, and runs the same `__main__`. What it
is forked from, one a module and a process of pytest, has loaded modules and done nothing else: it has no thread, no
socket of ZeroMQ's and no connection, so that what is forked begins where a new Python would stand after its imports.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
READY = "MAKIMA_READY_FD"
_NOT_FORKED = "MAKIMA_FAILPOINTS"
MOST_BYTES = 1 << 20


class Forked:
    """A process, to be used as one of `subprocess`'s."""

    def __init__(self, server: Server, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server
        self._over = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Its exit code if it has ended: less than 0, a signal's."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code once it has ended. Raises TimeoutExpired."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal if it still runs."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, within_seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._over], (), (), within_seconds)[0]:
            self.returncode = self._server.reap(self.pid)
            os.close(self._over)
        return self.returncode


Process = Forked | subprocess.Popen[bytes]


class Server:
    """What forks the processes of one module: their parent, which alone may ask how they ended."""

    def __init__(self, module: str) -> None:
        self._ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKIMA_")}
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forked", module, str(its.fileno())],
                cwd=ROOT,
                env={**kept, "PYTHONPATH": str(ROOT)},
                pass_fds=(its.fileno(),),
            )

    def fork(self, environment: Mapping[str, str], descriptors: Sequence[int]) -> Forked:
        """A process with this environment and these descriptors: standard output, error, and where it says ready."""
        message = json.dumps(dict(environment)).encode()
        socket.send_fds(self._ours, [message], list(descriptors))
        return Forked(self, self._answer())

    def reap(self, pid: int) -> int:
        """How a process that has ended did so."""
        self._ours.send(json.dumps(pid).encode())
        return self._answer()

    def _answer(self) -> int:
        answer = self._ours.recv(64)
        assert answer, "what forks processes has ended"
        return int(answer)


@cache
def _server(module: str, _of: int) -> Server:
    return Server(module)


def start(module: str, environment: Mapping[str, str], log: Path | None = None, wrapper: Sequence[str] = ()) -> Process:
    """A process as of `python -m MODULE` in the project's folder, once it is ready; `log` is its standard error.

    One that starts by way of another program is no fork, nor is one with failpoints: it looks for them while it loads.
    """
    reading, writing = os.pipe()
    with log.open("ab") if log else nullcontext(sys.__stderr__) as errors:
        assert errors is not None
        streams = (1, errors.fileno(), writing)
        if wrapper or _NOT_FORKED in environment:
            process: Process = _new([*wrapper, sys.executable, "-m", module], environment, streams)
        else:
            process = fork(module, environment, streams)
    os.close(writing)
    with os.fdopen(reading, "rb") as ready:
        assert ready.read(1), f"{module} is not ready: {log.read_text() if log else ''}"
    return process


def fork(module: str, environment: Mapping[str, str], streams: Sequence[int] = (1, 2)) -> Forked:
    """A process as of `python -m MODULE`; its standard output and error, and where it says that it is ready."""
    return _server(module, os.getpid()).fork(environment, streams)


def _new(argv: Sequence[str], environment: Mapping[str, str], streams: Sequence[int]) -> subprocess.Popen[bytes]:
    out, errors, ready = streams
    named = {**environment, READY: str(ready)}
    return subprocess.Popen(argv, cwd=ROOT, env=named, pass_fds=(ready,), stdout=out, stderr=errors)


def _serve(asked: socket.socket) -> tuple[dict[str, str], list[int]]:
    """Fork and reap as asked until nobody can ask any more, and end; in a fork, return what it is given."""
    running: set[int] = set()
    while True:
        message, descriptors, _, _ = socket.recv_fds(asked, MOST_BYTES, 3)
        if not message:
            break
        match json.loads(message):
            case int(pid):
                running.discard(pid)
                answer = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            case environment:
                answer = os.fork()
                if answer == 0:
                    return environment, descriptors
                running.add(answer)
        for descriptor in descriptors:
            os.close(descriptor)
        asked.send(str(answer).encode())
    for pid in running:
        os.kill(pid, signal.SIGKILL)
    sys.exit()


def _become(environment: dict[str, str], descriptors: list[int]) -> None:
    """Take on the environment and the streams, as a Python that starts with them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.unfreeze()
    os.environ.clear()
    os.environ.update(environment)
    for standard, descriptor in zip((1, 2), descriptors, strict=False):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    for ready in descriptors[2:]:
        os.environ[READY] = str(ready)


def main(module: str, descriptor: int) -> None:
    """Load a module, and be what is asked for: who forks, then who is forked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with pytest, whatever that does of it
    importlib.import_module(f"{module}.service")
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=descriptor) as asked:
        given = _serve(asked)
    _become(*given)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
