"""Machines of a network of their own: network namespaces on one bridge, each with an address, reached by a command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

ROOT = Path(__file__).parents[1]


class Machine:
    """A network namespace: what runs in it has this address and no other, and reaches only its network."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    def argv(self, *command: str) -> list[str]:
        """How a command is run there."""
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, *command: str, env: Mapping[str, str] | None = None, seconds: float = 60) -> str:
        """What a command there says. Fails when it fails."""
        done = subprocess.run(
            self.argv(*command), env=env, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def lose(self, share: float) -> None:
        """Lose this share of what arrives here; 1 cuts it off. What it says to itself is never lost."""
        self.run("iptables", "-F", "INPUT")
        if share:
            some = ["-m", "statistic", "--mode", "random", "--probability", str(share)] if share < 1 else []
            self.run("iptables", "-A", "INPUT", "!", "-i", "lo", *some, "-j", "DROP")


@contextmanager
def network(*names: str) -> Iterator[Sequence[Machine]]:
    """Machines that reach each other."""
    mark = uuid4().hex[:6]
    wire = f"mk{mark}-net"
    made = [wire]
    try:
        _ip("netns", "add", wire)
        _ip("-n", wire, "link", "add", "name", "lan", "type", "bridge")
        _ip("-n", wire, "link", "set", "lan", "up")
        machines = []
        for number, name in enumerate(names, start=1):
            machine = Machine(f"mk{mark}-{name}", f"10.77.0.{number}")
            _ip("netns", "add", machine.name)
            made.append(machine.name)
            _ip("-n", wire, "link", "add", f"to{number}", "type", "veth", "peer", "name", "eth", "netns", machine.name)
            _ip("-n", wire, "link", "set", f"to{number}", "master", "lan", "up")
            _ip("-n", machine.name, "address", "add", f"{machine.address}/24", "dev", "eth")
            for device in ("lo", "eth"):
                _ip("-n", machine.name, "link", "set", device, "up")
            machines.append(machine)
        yield machines
    finally:
        for name in reversed(made):
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", name)


@contextmanager
def served(machine: Machine, folder: Path) -> Iterator[str]:
    """The address at which git serves the repositories of a folder from a machine, to be fetched and pushed to."""
    port = "9418"
    argv = machine.argv(
        *("git", "daemon", "--reuseaddr", f"--listen={machine.address}", f"--port={port}", "--export-all"),
        *(f"--base-path={folder}", "--enable=receive-pack", str(folder)),
    )
    serving = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    try:
        yield f"git://{machine.address}"
    finally:
        serving.terminate()
        serving.wait()


@contextmanager
def slow(machine: Machine, target: str, seconds: float) -> Iterator[str]:
    """An address on a machine behind which is this other one, each byte so much later."""
    address = f"{machine.address}:{target.rsplit(':', 1)[1]}"
    argv = machine.argv(sys.executable, "-m", "tests.relay", address, target, str(seconds))
    relay = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert relay.stdout is not None
        assert relay.stdout.readline() == "listens\n"
        yield address
    finally:
        relay.kill()
        relay.wait()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
