"""A real cluster a module: processes, Postgres, git, all in a folder of its own on a free port."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import psutil
import pytest

from tests.postgres import home
from tests.shell import git as git
from tests.waiting import until

ROOT = Path(__file__).parents[1]
hypothesis.settings.register_profile("timeless", deadline=None)  # how long an example takes says nothing of the code
hypothesis.settings.load_profile("timeless")


COMMAND_PAUSE_SECONDS = 0.2
"""Between two commands that look for the same: each takes a processor from the cluster for as long."""


def free_port() -> int:
    """A port that nobody listens on, and that no connection of anybody's is given meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)  # below those that systems give to outgoing connections
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Cluster:
    """A running cluster, driven as a person drives it: by the command line."""

    marks: ClassVar[Path]
    """Where agents may leave marks for their tests, and look for theirs, whatever sandbox they are in."""

    def __init__(self, home: Path, **settings: str) -> None:
        port = free_port()
        self.home = home
        named = {f"MAKIMA_{key.upper()}": value for key, value in settings.items()}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MAKIMA_")}
        self.environment = {
            **kept,
            "PYTHONPATH": str(ROOT),
            "MAKIMA_HOME": str(home),
            "MAKIMA_PORT": str(port),
            "MAKIMA_SANDBOX_WRITABLE": str(self.marks),
            **named,
        }

    def state(self) -> dict[str, Any]:
        """What its supervisor says of it."""
        state: dict[str, Any] = json.loads((self.home / "run" / "cluster.json").read_text())
        return state

    def processes(self) -> dict[str, int]:
        """The ids of its processes."""
        return dict(self.state()["processes"])

    def tree(self) -> set[int]:
        """The ids of all its processes: the supervisor's, and of whatever descends from it, agents with the rest."""
        supervisor = psutil.Process(self.state()["pid"])
        return {process.pid for process in (supervisor, *supervisor.children(recursive=True))}

    def makima(self, *arguments: str, code: int = 0) -> str:
        """Run one command; its standard output, or its error line where `code` isn't 0."""
        done = self.run(*arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def make(self, *arguments: str) -> str:
        """Run one command that makes something; its id."""
        made: str = json.loads(self.makima(*arguments, "-o", "json"))["id"]
        return made

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command, however it ends."""
        argv = [sys.executable, "-m", "cli", *arguments]
        return subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=120, check=False)

    def await_status(self, directive: str, status: str, within_seconds: float = 20) -> None:
        """Wait for a status, whatever happens to the gateway meanwhile."""
        self.await_shown(directive, within_seconds, status=status)

    def await_shown(self, directive: str, within_seconds: float, **facts: object) -> dict[str, Any]:
        """The directive, once these facts of it hold, whatever happens to the gateway meanwhile."""
        seen = ""

        def found() -> dict[str, Any] | None:
            nonlocal seen
            done = self.run("directive", "show", directive, "-o", "json")
            seen = done.stdout or done.stderr
            shown: dict[str, Any] = json.loads(seen) if done.returncode == 0 else {}
            return shown if shown and all(shown[k] == v for k, v in facts.items()) else None

        return until(found, lambda: f"{facts}: {seen}", within_seconds, COMMAND_PAUSE_SECONDS)

    def show(self, directive: str) -> dict[str, Any]:
        """The directive as `show -o json` has it."""
        shown: dict[str, Any] = json.loads(self.makima("directive", "show", directive, "-o", "json"))
        return shown


@pytest.fixture(scope="session", autouse=True)
def _marks(tmp_path_factory: pytest.TempPathFactory) -> None:
    Cluster.marks = tmp_path_factory.getbasetemp()


@pytest.fixture(scope="module")
def empty_home() -> Iterator[Path]:
    """A home for a cluster that a module starts by itself."""
    with home() as folder:
        yield folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two daemons, and a sweep of an hour: nothing here may wait for one."""
    with home() as folder:
        running = Cluster(folder, sweep_seconds="3600")
        running.makima("up", "--detach", "--daemons", "2")
        yield running
        running.makima("down")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A bare repository with one commit on main."""
    return begun_origin(tmp_path)


def begun_origin(folder: Path) -> Path:
    """A bare repository with one commit on main, in this folder."""
    bare, work = folder / "origin.git", folder / "work"
    git(folder, "init", "--quiet", "--bare", "-b", "main", str(bare))
    git(folder, "clone", "--quiet", str(bare), str(work))
    (work / "README.md").write_text("hello\n")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "-m", "start")
    git(work, "push", "--quiet", "origin", "HEAD:main")
    return bare
