"""The gateway's sockets: whom the command line tells its token, and what connections may hold."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from shared.config import load
from shared.config.sockets import short, to_connect
from tests.conftest import Cluster
from tests.sampled import sampled

ROOT = Path(__file__).parents[2]


def test_with_the_cluster_down_whoever_listens_on_its_port_is_told_nothing(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("mkp_secret")
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        squatter.settimeout(0.5)
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "MAKIMA_HOME": str(tmp_path),
            "MAKIMA_PORT": str(squatter.getsockname()[1]),
        }
        done = subprocess.run(
            [sys.executable, "-m", "cli", "directive", "list"], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 1 and "no cluster runs on" in done.stderr and done.stderr.count("\n") == 1
        with pytest.raises(TimeoutError):
            squatter.accept()


def long_home(above: Path) -> Path:
    """A home whose path has 120 characters: more than a socket's path may."""
    return above / ("h" * (120 - len(str(above)) - 1))


@contextlib.contextmanager
def gateway_at(path: Path) -> Iterator[None]:
    """Somebody who listens there, and answers every request with an empty list."""
    path.parent.mkdir(parents=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(to_connect(path)))
    listener.listen()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                with listener.accept()[0] as peer:
                    peer.recv(65536)
                    peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]")

    threading.Thread(target=serve, daemon=True).start()
    yield
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.mark.parametrize("run", ["in the home", "elsewhere", "in the settings"])
def test_without_a_word_of_the_cluster_a_gateway_is_found_where_the_settings_say(tmp_path: Path, run: str) -> None:
    home = long_home(tmp_path)
    home.mkdir(mode=0o700)
    (home / "token").write_text("mkp_secret")
    cluster = Cluster(home)
    elsewhere = tmp_path / ("r" * 100)
    if run == "elsewhere":
        cluster.environment["MAKIMA_RUN"] = str(elsewhere)
    elif run == "in the settings":
        (home / "makima.toml").write_text(f'run = "{elsewhere}"\n')
    with gateway_at((home / "run" if run == "in the home" else elsewhere) / "gateway" / "gateway.sock"):
        assert cluster.makima("directive", "list", "-o", "json") == "[]\n"


def test_asking_where_no_cluster_ever_was_makes_nothing(tmp_path: Path) -> None:
    home = long_home(tmp_path)
    cluster = Cluster(home)
    cluster.environment["MAKIMA_TOKEN"] = "mkp_secret"
    said = cluster.makima("directive", "list", code=1)
    assert "no cluster runs on" in said and "`makima up`" in said and said.count("\n") == 1
    assert not home.exists()


def test_a_setting_that_cannot_be_is_a_line_of_whoever_asks(tmp_path: Path) -> None:
    said = Cluster(tmp_path, slots="many").makima("directive", "list", code=1)
    assert "MAKIMA_SLOTS has the value 'many'" in said and said.count("\n") == 1


def test_what_is_made_for_a_long_path_is_this_accounts_alone(tmp_path: Path) -> None:
    folder = long_home(tmp_path) / "run" / "gateway"
    before = os.umask(0o022)
    try:
        short(folder)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(made.stat().st_mode) for made in (folder, folder.parent, folder.parents[1])} == {0o700}


def test_the_socket_is_this_accounts_alone_and_serves_what_the_port_serves(cluster: Cluster) -> None:
    path = load(cluster.environment).gateway_socket()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["gateway.sock"]
    headers = {"authorization": f"Bearer {(cluster.home / 'token').read_text()}"}
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost", headers=headers
    ) as client:
        assert client.get("/v1/overview").status_code == 200
    del headers["authorization"]
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost") as client:
        assert client.get("/v1/overview").status_code == 401


def test_a_thousand_idle_connections_lock_nobody_out(cluster: Cluster) -> None:
    port = int(cluster.environment["MAKIMA_PORT"])
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(900)]
    try:
        headers = {"authorization": f"Bearer {(cluster.home / 'token').read_text()}"}
        answer = httpx.get(f"http://127.0.0.1:{port}/v1/overview", headers=headers, timeout=20)
        assert answer.status_code == 200
        assert cluster.makima("directive", "list") is not None
    finally:
        for connection in idle:
            connection.close()


@pytest.mark.parametrize("said", sampled((b"", b"GET /healthz HTT"), (b"GET /healthz HTT",)))
def test_a_connection_that_never_asks_is_closed(cluster: Cluster, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", int(cluster.environment["MAKIMA_PORT"])), timeout=30) as silent:
        silent.sendall(said)
        with contextlib.suppress(ConnectionResetError):  # that is closed, too
            assert silent.recv(1) == b""


@pytest.fixture
def asking(cluster: Cluster) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {(cluster.home / 'token').read_text()}"}
    address = f"http://127.0.0.1:{cluster.environment['MAKIMA_PORT']}"
    with httpx.Client(base_url=address, headers=headers, timeout=30) as client:
        yield client


def test_a_body_is_read_only_of_somebody_known_and_nested_too_deeply_it_is_refused(asking: httpx.Client) -> None:
    deep = b"[" * 100_000
    refused = asking.post("/v1/directives", content=deep)
    assert refused.status_code == 400 and "nested too deeply" in refused.json()["detail"]
    for body in (b"\xff", b'{"title": "\xed\xa0\xbd"}', b'{"title": 1' + b"0" * 5000 + b"}"):
        assert asking.post("/v1/directives", content=body).status_code in (400, 422)
    del asking.headers["authorization"]
    assert asking.post("/v1/directives", content=deep).status_code == 401


def test_what_enters_has_no_control_or_bidirectional_characters(asking: httpx.Client) -> None:
    steps = [{"name": "one\x9b\u202e", "taskPlan": "printf '\x1b'"}]
    made = asking.post("/v1/directives", json={"title": "a\x1bb\u2066", "goal": "x\r\n\ty", "steps": steps}).json()
    shown = asking.get(f"/v1/directives/{made['id']}").json()
    assert (shown["title"], shown["goal"]) == ("ab", "x\n\ty")
    assert [(s["name"], s["task_plan"]) for s in shown["steps"]] == [("one", "printf '\x1b'")]


def test_a_name_that_is_none_of_the_gateways_is_refused(asking: httpx.Client) -> None:
    refused = asking.get("/healthz", headers={"host": "evil.example.com:8420"})
    assert refused.status_code == 421 and "gateway_names" in refused.json()["detail"]
    for host in ("localhost:8420", "127.0.0.1", "[::1]:8420", "LOCALHOST"):
        assert asking.get("/healthz", headers={"host": host}).status_code == 200
