"""What an attempt reaches of the network, by real programs in a real sandbox with real proxies."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.daemon.processes import programs
from services.daemon.sandbox import bubblewrap, system
from services.daemon.sandbox.network import KEY_PORT, Asked, HeldKey, Proxies, open_network, sweep
from services.daemon.sandbox.view import View
from shared.domain.hosts import Network
from tests.waiting import until

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.anyio


@dataclass
class Site:
    """A web server of this machine, and what it was asked for."""

    port: int = 0
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("content-length", 0))
            self.rfile.read(length)
            found.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"the site\n")

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


class Attempt:
    """A sandbox with a network, and what was said of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        found = bubblewrap.find()
        assert isinstance(found, bubblewrap.Bubblewrap), found
        self.sandbox = found
        for name in ("workspace", "home", "scratch"):
            (folder / name).mkdir()
        readable = system.toolchains(os.environ, never=[Path.home()])
        self.view = View(
            name="t-1",
            workspace=folder / "workspace",
            home=folder / "home",
            scratch=folder / "scratch",
            readable=readable,
        )

    async def opened(self, network: Network, *allowed: str, key: HeldKey | None = None) -> Proxies:
        return await open_network(
            Asked(network=network, allowed=allowed, key=key), self.folder / "net", self.said.append
        )

    async def run(self, network: Proxies, script: str) -> str:
        """What a script prints in it, its errors included."""
        access = network.access
        view = access.added_to(self.view)
        environment = {"PATH": os.environ["PATH"], **access.environment}
        confined = self.sandbox.command((*access.prefix, "bash", "-c", script), environment, view)
        process = await programs.start(
            *confined.argv,
            cwd=view.workspace,
            env=confined.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await asyncio.wait_for(process.communicate(), 60)
        return printed.decode()


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path)


FETCH = textwrap.dedent("""\
    import sys, urllib.request
    for url in sys.argv[1:]:
        try:
            print(urllib.request.urlopen(url, timeout=20).read().decode().strip())
        except OSError as error:
            print("failed:", error)
    """)


def fetch(*urls: str) -> str:
    """A script that fetches through whatever proxy the environment names."""
    return f"python3 -c '{FETCH}' {' '.join(urls)}"


async def test_an_open_network_is_the_machines(attempt: Attempt, site: Site) -> None:
    network = await attempt.opened("open")
    assert await attempt.run(network, fetch(f"http://127.0.0.1:{site.port}/")) == "the site\n"


CONNECT = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(99))"


async def test_without_a_network_only_a_socket_that_was_handed_in_is_reached(attempt: Attempt, site: Site) -> None:
    path = attempt.folder / "gateway.sock"
    with socket.socket(socket.AF_UNIX) as gateway:
        gateway.bind(str(path))
        gateway.listen()
        threading.Thread(target=lambda: gateway.accept()[0].sendall(b"the gateway"), daemon=True).start()
        attempt.view = replace(attempt.view, sockets=(path,))
        there = fetch(f"http://127.0.0.1:{site.port}/")
        printed = await attempt.run(await attempt.opened("none"), f"python3 -c '{CONNECT}' {path}; {there}")
    assert "the gateway" in printed and "failed:" in printed and site.asked == []


async def test_a_host_of_the_list_is_reached_through_the_proxy_alone(attempt: Attempt, site: Site) -> None:
    network = await attempt.opened("hosts", f"127.0.0.1:{site.port}")
    there = f"http://127.0.0.1:{site.port}/"
    try:
        by_proxy = await attempt.run(network, f"unset NO_PROXY no_proxy; {fetch(there)}")
        around_it = await attempt.run(network, f"unset HTTP_PROXY http_proxy; {fetch(there)}")
        tunnel = await attempt.run(network, f"unset NO_PROXY no_proxy; curl -sS --proxytunnel {there}")
    finally:
        await network.close()
    assert (by_proxy, tunnel) == ("the site\n", "the site\n") and "failed:" in around_it
    assert attempt.said == []


async def test_a_host_that_is_not_of_the_list_is_refused_and_said_once(attempt: Attempt, site: Site) -> None:
    network = await attempt.opened("hosts", "example.com")
    try:
        refused = fetch(*["http://evil.example.org/"] * 3, f"http://127.0.0.1.evil.example.org:{site.port}/")
        printed = await attempt.run(network, refused)
        await asyncio.to_thread(until, lambda: len(attempt.said) >= 2, lambda: attempt.said, 10)
    finally:
        await network.close()
    assert printed.count("403") == 4
    assert attempt.said == [
        "network: evil.example.org:80 was refused: no allowed host",
        f"network: 127.0.0.1.evil.example.org:{site.port} was refused: no allowed host",
    ]


async def test_an_allowed_name_does_not_lead_to_this_machine(attempt: Attempt, site: Site) -> None:
    """Whoever answers for a name's addresses may change them to the machine's own."""
    network = await attempt.opened("hosts", f"localhost:{site.port}")
    there = f"http://localhost:{site.port}/"
    try:
        printed = await attempt.run(
            network, f"unset NO_PROXY no_proxy; curl -sS {there}; curl -sS --proxytunnel {there}"
        )
        await asyncio.to_thread(until, lambda: attempt.said, "what was refused is said", 10)
    finally:
        await network.close()
    assert "403" in printed and site.asked == []
    assert "of this machine or of a private network" in attempt.said[0]


async def test_a_key_that_is_held_reaches_the_model_and_not_the_agent(attempt: Attempt, site: Site) -> None:
    key = HeldKey(upstream=f"http://127.0.0.1:{site.port}/base", header="x-api-key", value="the real key")
    network = await attempt.opened("hosts", key=key)
    ask = f"curl -sS -H 'x-api-key: a stand-in' -H 'authorization: Bearer x' -d '{{}}' http://127.0.0.1:{KEY_PORT}"
    try:
        printed = await attempt.run(
            network, f"{ask}/v1/messages?beta=true; {ask}/%2e%2e/admin --path-as-is; env; ps ax"
        )
    finally:
        await network.close()
    ((path, headers),) = site.asked
    assert path == "/base/v1/messages?beta=true" and headers["x-api-key"] == "the real key"
    assert "authorization" not in headers
    assert printed.startswith("the site") and "leaves the model's address" in printed and "the real key" not in printed


async def test_a_model_that_can_not_be_reached_is_said_in_words(attempt: Attempt) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        key = HeldKey(upstream=f"http://127.0.0.1:{nobody.getsockname()[1]}", header="x-api-key", value="k")
        network = await attempt.opened("hosts", key=key)
        try:
            assert "can't be reached" in await attempt.run(network, f"curl -sS http://127.0.0.1:{KEY_PORT}/v1/models")
        finally:
            await network.close()


async def test_sockets_have_a_short_path_in_a_deep_folder(attempt: Attempt, site: Site) -> None:
    attempt.folder = attempt.folder / ("deep" * 30)
    attempt.folder.mkdir()
    network = await attempt.opened("hosts", f"127.0.0.1:{site.port}")
    try:
        there = f"http://127.0.0.1:{site.port}/"
        assert await attempt.run(network, f"unset NO_PROXY no_proxy; {fetch(there)}") == "the site\n"
    finally:
        await network.close()
    assert not any(path.parent.exists() for path in network.access.ports.values())
    assert not (attempt.folder / "net").is_symlink()


async def test_a_short_path_that_a_killed_daemon_left_is_removed_by_its_next_life(tmp_path: Path) -> None:
    runs = tmp_path / ("deep" * 30)
    runs.mkdir()
    asked = Asked(network="none", gateway="http://127.0.0.1:1")
    left = await open_network(asked, runs / "1-net", print)
    (elsewhere,) = {path.parent for path in left.access.ports.values()}
    assert elsewhere.exists() and not elsewhere.is_relative_to(tmp_path)
    sweep(runs)
    assert not elsewhere.exists() and list(runs.iterdir()) == []
    await left.close()


def processes_of(folder: Path) -> list[str]:
    """The proxies whose sockets lie in a folder."""
    listed = subprocess.run(["ps", "-eww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line and "forward_proxy" in line]


async def test_no_proxy_outlives_its_attempt(attempt: Attempt) -> None:
    network = await attempt.opened("hosts", "example.com")
    assert processes_of(attempt.folder)
    await network.close()
    assert not processes_of(attempt.folder)
    assert attempt.said == []


DAEMON = """
import asyncio, sys
from pathlib import Path
from services.daemon.sandbox.network import Asked, HeldKey, open_network

async def main():
    key = HeldKey(upstream="http://127.0.0.1:1", header="x-api-key", value="k")
    await open_network(Asked(network="hosts", allowed=("example.com",), key=key), Path(sys.argv[1]) / "net", print)
    print("opened", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_no_proxy_outlives_a_daemon_that_is_killed(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", DAEMON, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}) as daemon:
        assert daemon.stdout is not None and daemon.stdout.readline() == b"opened\n"
        assert processes_of(tmp_path) and (tmp_path / "net" / "model.sock").exists()
        daemon.send_signal(signal.SIGKILL)
    until(lambda: not processes_of(tmp_path), lambda: processes_of(tmp_path), 20)
    until(lambda: not list((tmp_path / "net").iterdir()), lambda: list((tmp_path / "net").iterdir()), 20)
