"""Another account of the machine: nothing that a running cluster has serves it, wherever that lies or listens.

What is tried is whatever the cluster is found to have: a file, a socket or a route that comes with a new part of it is
tried without a word here. Only root can be another account. Anybody else reads from owners and modes what it could do.
"""

from __future__ import annotations

import http.client
import json
import os
import pwd
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from shared.config import load
from shared.store.embedded import SERVER_USER
from tests import attack
from tests.attack import Targets
from tests.conftest import ROOT, Cluster, begun_origin
from tests.postgres import home
from tests.waiting import until

AS_ROOT = os.geteuid() == 0
ACCOUNTS = ("nobody", SERVER_USER) if AS_ROOT else ("nobody",)
BECOMING = """
import json, os, sys
from tests import attack
targets = json.load(sys.stdin)
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[1]))
json.dump(attack.attempted(targets), sys.stdout)
"""
"""Everything is imported before: the way to this Python may be closed to the account."""
SOMETHING = "00000000-0000-0000-0000-000000000000"
TO_BE_OPEN = {
    "files": {"reads": 0o044, "writes": 0o022},
    "folders": {"lists": 0o044, "makes": 0o022},
    "sockets": {"connects": 0o022},
}
"""A mode without these bits lets nobody but the owner do it."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One with an agent at work."""
    origin = begun_origin(tmp_path_factory.mktemp("origin"))
    with home() as folder:
        running = Cluster(folder, sweep_seconds="3600", postgres_url="")
        del running.environment["MAKIMA_POSTGRES_URL"]
        running.makima("up", "--detach", "--daemons", "1")
        begun, plan = origin.parent / "begun", origin.parent / "plan.json"
        script = f"echo secret >work.txt; pwd >{begun}; while :; do sleep 0.1; done"
        plan.write_text(json.dumps([{"name": "one", "taskPlan": script}]))
        create = ("directive", "create", "--title", "t", "--repo", str(origin), "--plan", str(plan), "--start")
        running.makima(*create, "--agent", "shell")
        until(begun.exists, lambda: running.run("status").stdout)
        yield running
        running.makima("down")


def belongings(cluster: Cluster) -> Iterator[tuple[Path, os.stat_result]]:
    """Every folder, file and socket of it, from its home on. What goes away meanwhile is left out."""
    settings = load(cluster.environment)
    for folder in {settings.home, settings.run or settings.home}:
        for path in (folder, *folder.rglob("*")):
            with suppress(FileNotFoundError):
                found = path.lstat()
                if not stat.S_ISLNK(found.st_mode):
                    yield path, found


def targets(cluster: Cluster, account: str) -> Targets:
    """What it has, but for processes that are the account's own."""
    found: Targets = {**{kind: [] for kind in attack.WAYS}, "own": []}
    for path, about in belongings(cluster):
        kind = "sockets" if stat.S_ISSOCK(about.st_mode) else "folders" if stat.S_ISDIR(about.st_mode) else "files"
        found[kind].append(str(path))
    processes = cluster.tree()
    for bound in psutil.net_connections("unix"):
        if bound.laddr and bound.pid in processes:
            name = str(bound.laddr).replace("/proc/self/", f"/proc/{bound.pid}/", 1)
            if name.startswith("@"):
                found["abstract"].append(name)
            else:
                found["sockets"].append(os.path.realpath(name))
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # it has ended
            if psutil.Process(process).username() != account:
                found["processes"].append(process)
    return found


def reached(by: str, tried: Targets) -> dict[str, list[str]]:
    """With what an account succeeds, by the way."""
    if not AS_ROOT:
        return by_modes(tried)
    account = pwd.getpwnam(by)
    argv = (sys.executable, "-c", BECOMING, str(account.pw_uid), str(account.pw_gid))
    done = subprocess.run(argv, cwd=ROOT, input=json.dumps(tried), capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return {way: what for way, what in found.items() if what}


def by_modes(tried: Targets) -> dict[str, list[str]]:
    """With what an account succeeds that is neither root nor of ours: each folder on the way has to let it through."""
    found: dict[str, list[str]] = {}
    for kind, ways in TO_BE_OPEN.items():
        for path in map(Path, map(str, tried[kind])):
            with suppress(OSError):
                way_in = path.parents if kind != "folders" else (path, *path.parents)
                passes = all(folder.stat().st_mode & 0o011 for folder in way_in)
                about = path.stat()
                for way, bits in ways.items():
                    if about.st_uid not in (0, os.geteuid()) or (passes and about.st_mode & bits):
                        found.setdefault(f"{kind}: {way}", []).append(str(path))
    return found


@pytest.mark.parametrize("account", ACCOUNTS)
def test_another_account_reaches_no_file_socket_or_process(cluster: Cluster, account: str) -> None:
    found = targets(cluster, account)
    assert any(path.endswith("/work.txt") for path in map(str, found["files"])), "the agent's work is tried, too"
    assert len(found["sockets"]) > 5 and len(found["processes"]) > 8
    assert reached(account, found) == {}


def test_the_attempt_is_one(cluster: Cluster) -> None:
    """Where the home's door stands open, and a file in it is everybody's, the same account gets at it."""
    careless = cluster.home / "careless"
    careless.touch()
    careless.chmod(0o666)
    cluster.home.chmod(0o755)
    try:
        assert reached("nobody", targets(cluster, "nobody")) == {
            "files: reads": [str(careless)],
            "files: writes": [str(careless)],
            "folders: lists": [str(cluster.home)],
        }
    finally:
        cluster.home.chmod(0o700)
        careless.unlink()


def test_what_lies_in_the_home_is_closed_without_its_door_too(cluster: Cluster) -> None:
    accounts = {os.geteuid(), pwd.getpwnam(SERVER_USER).pw_uid} if AS_ROOT else {os.geteuid()}
    modes = {path: about.st_mode for path, about in belongings(cluster)}
    del modes[cluster.home]

    def is_closed(path: Path) -> bool:
        return any(not modes[place] & 0o077 for place in (path, *path.parents) if place in modes)

    assert [f"{mode:o} {path}" for path, mode in modes.items() if not is_closed(path)] == []
    assert {about.st_uid for _, about in belongings(cluster)} == accounts


def test_no_command_line_tells_a_secret(cluster: Cluster) -> None:
    """Command lines are everybody's to read."""
    files = [file for file in cluster.home.iterdir() if file.is_file() and file.stat().st_size]
    assert len(files) > 2
    for process in cluster.tree():
        with suppress(FileNotFoundError):  # it has ended
            line = Path(f"/proc/{process}/cmdline").read_bytes()
            assert [file.name for file in files if file.read_bytes().strip() in line] == [], line


def test_by_tcp_everybody_hears_how_the_cluster_is_and_nothing_else(cluster: Cluster) -> None:
    settings, processes = load(cluster.environment), cluster.tree()
    if AS_ROOT:  # to nobody else it is told whose a port is
        connections = psutil.net_connections("inet")
        ours = {c.laddr[1] for c in connections if c.status == psutil.CONN_LISTEN and c.pid in processes}
        assert ours == {settings.port}

    def answer(method: str, path: str) -> tuple[int, bytes]:
        gateway = http.client.HTTPConnection(settings.host, settings.port, timeout=20)
        gateway.request(method, path, headers={"Content-Length": "0"})
        response = gateway.getresponse()
        return response.status, response.read()

    _, schema = answer("GET", "/schema/openapi.json")
    routes = [(method.upper(), path) for path, ways in json.loads(schema)["paths"].items() for method in ways]
    assert len(routes) > 30
    answers = {route: answer(route[0], re.sub(r"\{.*?\}", SOMETHING, route[1]))[0] for route in routes}
    open_to_all = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")}
    open_to_all |= {
        ("GET", "/signin/provider"),
        ("POST", "/signin/token"),
    }  # whether people sign in here, and with a code
    assert {route for route, status in answers.items() if status not in (401, 403)} == open_to_all
