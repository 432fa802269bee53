"""A cluster that notices soon, and in which failpoints can be armed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Cluster


class Faulty(Cluster):
    """A cluster whose processes can be made to die."""

    failpoints: Path

    def process(self, name: str) -> int:
        """The id of a process of it."""
        state = json.loads((self.home / "run" / "cluster.json").read_text())
        return int(state["processes"][name])

    def kill(self, name: str, by: signal.Signals = signal.SIGKILL) -> int:
        """Send a process of it a signal, once it runs; which process it was."""
        deadline = time.monotonic() + 30
        while True:
            try:
                process = self.process(name)
                os.kill(process, by)
            except ProcessLookupError:
                assert time.monotonic() < deadline, f"{name} doesn't run"
                time.sleep(0.05)
            else:
                return process


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, empty_home: Path) -> Iterator[Faulty]:
    """Two daemons; leases of four seconds, a sweep of two."""
    folder = tmp_path_factory.mktemp("failpoints")
    times = {
        "sweep_seconds": "2",
        "max_attempts": "4",
        "lease_seconds": "4",
        "lost_seconds": "3",
        "heartbeat_seconds": "0.5",
        "retention_seconds": "1",
    }
    running = Faulty(empty_home, failpoints=str(folder), **times)
    running.failpoints = folder
    running.makima("up", "--detach", "--daemons", "2")
    yield running
    running.makima("down")
