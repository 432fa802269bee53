"""`python attack.py TARGETS RESULT`: what an attacker tries on everything that it is told of; what came of it.

TARGETS is a JSON object of lists by kind (see WAYS), and of the paths that are the attacker's own ("own"). RESULT
becomes one of what succeeded, by the way it was tried. It changes nothing of what it reaches, but for leaving MARK in
folders: whoever sees those as they are tells whether it is there.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

Targets = dict[str, list[str | int]]
"""What is tried, by kind."""
MARK = "an-attacker-was-here"
PTRACE_SEIZE = 0x4206
PATIENCE_SECONDS = 2.0
ZEROMQ = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
"""A greeting with no security. https://rfc.zeromq.org/spec/23"""
ZEROMQ_READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
POSTGRES_LETS_IN = b"R\x00\x00\x00\x08\x00\x00\x00\x00"


def reads(path: str) -> bool:
    with Path(path).open("rb") as file:
        return file.read(1) is not None


def writes(path: str) -> bool:
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
    return True


def lists(path: str) -> bool:
    """Folders that lead to what is the attacker's own, and hold nothing else, tell it nothing."""
    return any(not any(mine.is_relative_to(found) for mine in own) for found in Path(path).iterdir())


def makes(path: str) -> bool:
    Path(path, MARK).touch()
    return True


def connects(path: str) -> bool:
    with _connected(path):
        return True


def is_served(path: str) -> bool:
    """Whether what listens speaks to one who has no key, or lets one in without a password."""
    return _answers(path, ZEROMQ, ZEROMQ_READY, b"READY") or _answers(path, _startup(), b"", POSTGRES_LETS_IN)


def signals(process: int) -> bool:
    os.kill(process, 0)
    return True


def traces(process: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_SEIZE, process, 0, 0):
        raise OSError(ctypes.get_errno(), "ptrace")
    return True


def looks_into(process: int) -> bool:
    found = 0
    for name in ("environ", "mem", "maps", "fd/0", "root/etc/passwd"):
        try:
            with Path("/proc", str(process), name).open("rb") as file:
                found += name == "mem" or bool(file.read(1))
        except OSError:
            continue
    return bool(found)


def moves_into(group: str) -> bool:
    Path(group).write_text(str(os.getpid()))
    return True


own: list[Path] = []
WAYS: dict[str, tuple[tuple[str, Callable[..., bool]], ...]] = {
    "files": (("reads", reads), ("writes", writes)),
    "folders": (("lists", lists), ("makes", makes)),
    "sockets": (("connects", connects), ("is served", is_served)),
    "abstract": (("connects", connects),),
    "processes": (("signals", signals), ("traces", traces), ("looks into", looks_into)),
    "groups": (("moves into", moves_into),),
}


def _connected(path: str) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX)
    connected.settimeout(PATIENCE_SECONDS)
    connected.connect("\0" + path[1:] if path.startswith("@") else path)
    return connected


def _answers(path: str, first: bytes, then: bytes, wanted: bytes) -> bool:
    with _connected(path) as peer:
        heard = b""
        try:
            peer.sendall(first)
            while wanted not in heard and (more := peer.recv(4096)):
                heard += more
                if then and len(heard) >= 64:
                    peer.sendall(then)
                    then = b""
        except OSError:
            return False  # it hung up, or says nothing more
        return wanted in heard


def _startup() -> bytes:
    said = b"user\0postgres\0database\0postgres\0\0"
    return struct.pack("!II", len(said) + 8, 196608) + said


def attempted(targets: Targets) -> dict[str, list[str]]:
    """Try every way on every target; those with which it succeeded, by the way."""
    own[:] = [Path(str(path)) for path in targets["own"]]
    succeeded: dict[str, list[str]] = {}
    for kind, ways in WAYS.items():
        for way, attempt in ways:
            reached = succeeded.setdefault(f"{kind}: {way}", [])
            for target in targets[kind]:
                try:
                    if attempt(target):
                        reached.append(str(target))
                except OSError:
                    continue
    return succeeded


def main() -> None:
    succeeded = attempted(json.loads(Path(sys.argv[1]).read_text()))
    Path(sys.argv[2]).write_text(json.dumps(succeeded))


if __name__ == "__main__":
    main()
