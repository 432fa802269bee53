"""The program that runs a command in a container: the container goes, whenever a signal comes."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT

SIGNALLED_TWICE = """
from services.daemon.sandbox import container, described

class Container:
    removals = 0

    def __init__(self, *_):
        pass

    def signal(self, number):
        pass

    def run(self):
        raise BrokenPipeError

    def remove(self):
        Container.removals += 1
        if Container.removals == 1:
            raise SystemExit(129)
        print("removed")

container.Container = Container
container.msgspec.json.decode = lambda *_, **__: None
container.main([])
"""


def test_a_signal_that_comes_before_signals_are_ignored_leaves_no_container() -> None:
    environment = {"PYTHONPATH": str(ROOT), "MAKIMA_CONTAINER": "{}"}
    argv = [sys.executable, "-c", SIGNALLED_TWICE]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "removed\n", done.stderr
