"""Many idle daemons in one process, each with its own connection: Hello, then heartbeats until standard input ends.

With a folder of keys they come over the link, each by its own.
"""

from __future__ import annotations

import os
import select
import sys
import time
from pathlib import Path

import zmq

from shared.bus.keys import introduce
from shared.bus.link import KeyPair, connect_by, public_of, server_keys
from shared.config import Settings, load
from shared.messages.frames import REPORTS, header
from shared.messages.reports import Heartbeat, Hello


def main() -> None:
    """`python -m bench.fleet N [FILE of secret keys, a line each]`"""
    number, settings = int(sys.argv[1]), load(os.environ)
    secrets = Path(sys.argv[2]).read_text().split() if len(sys.argv) > 2 else []
    context = zmq.Context(io_threads=1)
    context.set(zmq.MAX_SOCKETS, number + 10)
    if not secrets:
        introduce(context, settings, "daemon")
    fleet: list[tuple[str, zmq.Socket[bytes]]] = []
    for n in range(number):
        connection, name = context.socket(zmq.DEALER), f"idle-{n}"
        connection.setsockopt(zmq.LINGER, 0)
        connection.setsockopt(zmq.RECONNECT_IVL, 50)
        connection.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        if secrets:
            own = KeyPair(public_of(secrets[n]), secrets[n])
            connect_by(connection, settings.link or "", server_keys(settings.home).public, own)
        else:
            connection.setsockopt(zmq.IDENTITY, name.encode())
            connection.connect(settings.socket("daemons"))
        fleet.append((name, connection))
        _hello(settings, name, connection)
    pause = settings.heartbeat_seconds / number
    at, due = 0, time.monotonic()
    while not select.select([0], [], [], max(due - time.monotonic(), 0))[0]:
        name, connection = fleet[at % number]
        connection.send_multipart([b"reports", header(name), REPORTS.encode([Heartbeat(daemon=name)])])
        while connection.poll(0):
            if b"Identify" in connection.recv_multipart()[-1]:
                _hello(settings, name, connection)
        at, due = at + 1, due + pause
    context.destroy(linger=0)


def _hello(settings: Settings, name: str, connection: zmq.Socket[bytes]) -> None:
    hello = Hello(daemon=name, owner=settings.owner, capacity=1, agents=("shell",))
    connection.send_multipart([b"reports", header(name), REPORTS.encode([hello])])


if __name__ == "__main__":
    main()
