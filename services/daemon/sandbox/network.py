"""How an attempt reaches what it may of the network: as the machine does, not at all, or through proxies of its own.

Where it is held, programs run in a network namespace that has nothing but its own loopback. There, forwarder.py leads
ports to unix sockets outside: of the gateway (relay.py); with an allow-list, of a forwarding proxy (forward_proxy.py);
and, where the agent is never to see its key, of what stands before the model with it (key_proxy.py). The proxies are
children of the daemon, one of each an attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import structlog

from services.daemon.disk import folders
from services.daemon.processes import programs
from services.daemon.processes.programs import Program
from services.daemon.sandbox.relay import Relay
from services.daemon.sandbox.view import View
from shared.domain.hosts import PRESETS, Network, Preset
from shared.messages.unreadable import UNREADABLE

log = structlog.get_logger()

PROXY_PORT = 3128
KEY_PORT = 3129
GATEWAY_PORT = 3130
"""Of the loopback inside, which nobody else listens on."""
_ROOT = Path(__file__).parents[3]
_FORWARDER = Path(__file__).with_name("forwarder.py")
_READY = b"ready\n"
_READY_SECONDS = 30.0
_END_SECONDS = 3.0
_SHORT = "makima-net-"
_LONGEST_SOCKET_PATH = 100
"""The kernel's limit is 107."""
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
_KEPT_BY_KEY_PROXY = tuple(
    n for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY") for n in (name, name.lower())
)


class NetworkFailed(OSError):
    """A proxy did not start: what it said."""


@dataclass(frozen=True, kw_only=True)
class HeldKey:
    """A model's key that a proxy adds: where requests go on to, and the header, by name and value."""

    upstream: str
    header: str
    value: str = field(repr=False)


class _Refusal(msgspec.Struct, frozen=True):
    host: str
    port: int
    why: str


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a program is started with so that it reaches what it may."""

    network: Network
    ports: Mapping[int, Path] = field(default_factory=dict)
    """Of the loopback inside, and the sockets that they lead to, which have to be seen inside."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Over the program's own."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """Comes before the command, inside."""
        if not self.ports:
            return ()
        led = (f"{port}={path}" for port, path in self.ports.items())
        return (sys.executable, "-I", "-S", str(_FORWARDER), *led, "--")

    def without_key(self) -> Access:
        """The same for programs that have nothing to ask the model."""
        return replace(self, ports={port: path for port, path in self.ports.items() if port != KEY_PORT})

    def added_to(self, view: View) -> View:
        """A view of a program that is started so."""
        return replace(view, network=self.network, sockets=(*view.sockets, *self.ports.values()))


OPEN = Access(network="open")


class Proxies:
    """The network of one attempt, and the processes behind it while it runs."""

    def __init__(
        self,
        access: Access,
        running: Iterable[Program] = (),
        say: Callable[[str], None] = lambda _: None,
        folder: Path | None = None,
        relay: Relay | None = None,
    ) -> None:
        self.access = access
        self._relay = relay
        self._running = tuple(running)
        self._folder = folder
        self._say = say
        self._said: set[tuple[str, int]] = set()
        self._reading = [asyncio.create_task(self._read(process)) for process in self._running]

    async def _read(self, process: Program) -> None:
        """Say what a proxy refuses, each host once."""
        assert process.stdout is not None
        async for line in process.stdout:
            with contextlib.suppress(*UNREADABLE):
                found = msgspec.json.decode(line, type=_Refusal)
                if (found.host, found.port) not in self._said:
                    self._said.add((found.host, found.port))
                    self._say(f"network: {found.host}:{found.port} was refused: {found.why}")
        self._say("network: a proxy of this attempt has ended, and nothing is reached through it any more")

    async def close(self) -> None:
        """End the proxies. They end with this process, too, however it ends."""
        if self._relay is not None:
            await self._relay.close()
        for reading in self._reading:
            reading.cancel()
        for process in self._running:
            assert process.stdin is not None
            process.stdin.close()
        await asyncio.gather(*(_ended(process) for process in self._running))
        if self._folder is not None:
            await asyncio.to_thread(_remove, self._folder)


def sweep(runs: Path) -> None:
    """Remove the folders of networks that a killed daemon didn't close, and that have a short path elsewhere.

    `runs` holds the folders that `open_network` was given. Blocking: for a thread.
    """
    for link in runs.glob("*"):
        if link.is_symlink():
            _remove(link)


def entries(presets: Iterable[Preset], hosts: Iterable[str]) -> tuple[str, ...]:
    """The allow-list that settings name."""
    return (*(host for preset in presets for host in PRESETS[preset]), *hosts)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What network an attempt is to have."""

    network: Network
    allowed: tuple[str, ...] = ()
    """With "hosts", which."""
    key: HeldKey | None = None
    """With "hosts", one that its agent is not to have."""
    gateway: str | None = None
    """The address of the gateway, where the attempt's own network doesn't lead there."""


async def open_network(asked: Asked, folder: Path, say: Callable[[str], None]) -> Proxies:
    """Start what a network needs; its sockets lie in the folder, which is made for them. `say` gets what was refused.

    Only what is handed in to a sandbox may be seen there, so nothing else may lie in the folder. Raises NetworkFailed.
    """
    if asked.network != "hosts" and asked.gateway is None:
        return Proxies(Access(network=asked.network))
    if len(str(folder)) + len("/gateway.sock") > _LONGEST_SOCKET_PATH:
        short = Path(tempfile.mkdtemp(prefix=_SHORT))
        folder.symlink_to(short)  # so that it is found again when nobody is left to close it
    else:
        short = folder
        short.mkdir(mode=0o700, exist_ok=True)
    running: list[Program] = []
    relay: Relay | None = None
    ports: dict[int, Path] = {}
    environment: dict[str, str] = {}
    try:
        if asked.gateway is not None:
            ports[GATEWAY_PORT] = short / "gateway.sock"
            relay = await Relay.to(asked.gateway, ports[GATEWAY_PORT])
            environment["MAKIMA_API_URL"] = f"http://127.0.0.1:{GATEWAY_PORT}"
        if asked.network == "hosts":
            ports[PROXY_PORT] = short / "proxy.sock"
            running.append(await _start("forward_proxy", str(ports[PROXY_PORT]), *asked.allowed))
            environment |= _environment()
            if (key := asked.key) is not None:
                ports[KEY_PORT] = model = short / "model.sock"
                duty = {"socket": str(model), "upstream": key.upstream, "header": key.header, "value": key.value}
                told = msgspec.json.encode(duty) + b"\n"
                running.append(await _start("key_proxy", told=told, more=_KEPT_BY_KEY_PROXY))
        await asyncio.gather(*(_ready(process) for process in running))
    except BaseException:  # a cancellation too: no proxy is left, and whoever asked hears of it
        await Proxies(Access(network=asked.network), running, folder=folder, relay=relay).close()
        raise
    return Proxies(Access(network=asked.network, ports=ports, environment=environment), running, say, folder, relay)


def _remove(folder: Path) -> None:
    if folder.is_symlink() and (short := folder.readlink()).name.startswith(_SHORT):
        folders.remove(short)
    folders.remove(folder)


def _environment() -> dict[str, str]:
    """Where programs look for a proxy: some read the capitals only, some the small letters."""
    address = f"http://127.0.0.1:{PROXY_PORT}"
    named = {"HTTP_PROXY": address, "HTTPS_PROXY": address, "ALL_PROXY": address, "NO_PROXY": "127.0.0.1,localhost,::1"}
    return {**named, **{name.lower(): value for name, value in named.items()}, "NODE_USE_ENV_PROXY": "1"}


async def _start(module: str, *arguments: str, told: bytes = b"", more: tuple[str, ...] = ()) -> Program:
    kept = {name: os.environ[name] for name in (*_KEPT, *more) if name in os.environ}
    process = await programs.start(
        *(sys.executable, "-P", "-m", f"services.daemon.sandbox.{module}", *arguments),
        cwd=_ROOT,
        env={**kept, "PYTHONPATH": str(_ROOT)},
        stdin=PIPE,
        stdout=PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(told)
    return process


async def _ready(process: Program) -> None:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_READY_SECONDS):
            if (line := await process.stdout.readline()) == _READY:
                return
            raise NetworkFailed(f"the proxy of this attempt's network did not start; see the daemon's log ({line!r})")
    except TimeoutError:
        raise NetworkFailed(f"the proxy of this attempt's network did not start within {_READY_SECONDS:g} s") from None


async def _ended(process: Program) -> None:
    try:
        await asyncio.wait_for(process.wait(), _END_SECONDS)
    except TimeoutError:
        log.warning("proxy killed", process=process.pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # a child of it, if it left one
    await process.wait()
    process.close()
