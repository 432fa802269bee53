"""A program of its own: runs a command in a container as though it were a child of whoever runs this.

Its standard input, output and error are the command's, byte for byte, and its exit code too; SIGTERM goes on to the
command. The container is removed with it: when the command ends, and when whoever started this dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import threading
import time

import docker
import msgspec
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import LogConfig, Mount, Ulimit
from docker.utils.socket import frames_iter
from requests.exceptions import RequestException

from services.daemon.sandbox.described import VARIABLE, Bound, Description

NOT_RUN = 125
"""The exit code when the container could not be run; docker's own command line has the same."""
_CHUNK_BYTES = 64 << 10
_LOOKS = 20
_BETWEEN_LOOKS_SECONDS = 0.1
_REMOVALS = 600
_BETWEEN_REMOVALS_SECONDS = 0.5
"""Five minutes at the least, for a busy engine; what is left then goes when its daemon starts again."""
_PR_SET_PDEATHSIG = 1
_OUT, _ERR = 1, 2
"""Streams, and the file descriptors that they go to."""


class Container:
    """One container, from its creation to its removal."""

    def __init__(self, described: Description, argv: list[str]) -> None:
        self._client = docker.DockerClient(base_url=described.engine)
        image = self._client.images.get(described.image)
        own = dict(part.partition("=")[::2] for part in image.attrs["Config"].get("Env") or ())
        path = f"{described.path}:{own.get('PATH', os.defpath)}"
        self._described = described
        self._container = self._client.containers.create(
            described.image,
            entrypoint=argv[:1],  # else the image's own would run it
            command=argv[1:],
            name=described.name,
            labels=dict(described.labels),
            user=described.user,
            working_dir=described.folder,
            environment={**described.environment, "PATH": path},
            mounts=[_mount(bound) for bound in described.bound],
            network_mode=described.network,
            stdin_open=True,
            init=True,  # reaps what the command leaves behind, and hands signals on
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            nano_cpus=None if described.cpus is None else int(described.cpus * 1_000_000_000),
            mem_limit=described.memory_bytes,
            memswap_limit=described.memory_bytes,
            pids_limit=described.processes,
            ulimits=[Ulimit(name=n, soft=v, hard=v) for n, v in {**described.limits, "core": 0}.items()],
            log_config=LogConfig(type="none"),  # its output is ours to keep
        )

    def run(self) -> int:
        """Run it to its end; the command's exit code."""
        parameters = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        attached: socket.socket = self._client.api.attach_socket(str(self._container.id), parameters)._sock
        attached.settimeout(None)
        self._container.start()
        threading.Thread(target=_feed, args=(attached,), daemon=True).start()
        for stream, data in frames_iter(attached, tty=False):  # type: ignore[no-untyped-call]
            _write(_OUT if stream == _OUT else _ERR, data)
        code = int(self._container.wait(timeout=None)["StatusCode"])
        if self._ran_out_of_memory(code):
            mib = (self._described.memory_bytes or 0) >> 20
            _say(f"the container needed more than its {mib} MiB of memory")
        return code

    def _ran_out_of_memory(self, code: int) -> bool:
        """Whether the kernel killed it for that, which the engine may learn a moment after it learns of the end."""
        looks = _LOOKS if code == 128 + signal.SIGKILL and self._described.memory_bytes else 1
        while looks := looks - 1:
            self._container.reload()
            if self._container.attrs["State"]["OOMKilled"]:
                return True
            time.sleep(_BETWEEN_LOOKS_SECONDS)
        self._container.reload()
        return bool(self._container.attrs["State"]["OOMKilled"])

    def signal(self, number: int) -> None:
        """Send the command a signal."""
        with contextlib.suppress(APIError):  # it has ended by itself
            self._container.kill(signal=number)

    def remove(self) -> None:
        """End all that is in it, and remove it, however often a busy engine fails to; no signal cuts this short."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for _ in range(_REMOVALS):
            try:
                self._container.remove(force=True, v=True)
            except NotFound:
                return
            except (APIError, RequestException):  # it is being removed, or the engine couldn't
                time.sleep(_BETWEEN_REMOVALS_SECONDS)
        with contextlib.suppress(OSError):  # whoever would read it may be gone
            _say(f"the engine doesn't remove the container {self._described.name}: `docker rm --force` it")


def main(argv: list[str]) -> int:
    """Run a command in the container that the environment describes; its exit code."""
    described = msgspec.json.decode(os.environ[VARIABLE], type=Description)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGHUP, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    container: Container | None = None
    try:
        container = running = Container(described, argv)
        signal.signal(signal.SIGTERM, lambda number, _: running.signal(number))
        return running.run()
    except ImageNotFound:
        _say(f"the engine has no image {described.image!r}: `docker pull {described.image}`")
    except BrokenPipeError:
        pass  # nobody reads: the daemon is gone
    except (DockerException, RequestException) as error:
        _say(f"the container could not be run: {in_words(error)}")
    finally:
        while container is not None:
            with contextlib.suppress(SystemExit):  # of a second signal, which came before they are ignored
                container.remove()
                container = None
    return NOT_RUN


def in_words(error: Exception) -> str:
    """What went wrong with an engine, in one line."""
    said = error.explanation if isinstance(error, APIError) and error.explanation else error
    return " ".join(str(said).split())


def _mount(bound: Bound) -> Mount:
    if bound.source is None:
        return Mount(target=bound.place, source=None, type="tmpfs")
    return Mount(target=bound.place, source=bound.source, type="bind", read_only=bound.read_only)


def _feed(attached: socket.socket) -> None:
    """Hand standard input on until its end. It may go on for longer than the command: then nobody waits for it."""
    with contextlib.suppress(OSError):
        while data := os.read(0, _CHUNK_BYTES):
            attached.sendall(data)
        attached.shutdown(socket.SHUT_WR)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _say(words: str) -> None:
    _write(_ERR, f"makima: {words}\n".encode())
