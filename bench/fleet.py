"""Many idle daemons in one process, each with its own connection: Hello, then heartbeats until standard input ends."""

from __future__ import annotations

import os
import select
import sys
import time

import zmq

from shared.bus.keys import introduce
from shared.config import load
from shared.messages.frames import REPORTS, header
from shared.messages.reports import Heartbeat, Hello


def main() -> None:
    """`python -m bench.fleet N`"""
    number, settings = int(sys.argv[1]), load(os.environ)
    context = zmq.Context(io_threads=1)
    context.set(zmq.MAX_SOCKETS, number + 10)
    introduce(context, settings, "daemon")
    fleet: list[tuple[str, zmq.Socket[bytes]]] = []
    for n in range(number):
        connection, name = context.socket(zmq.DEALER), f"idle-{n}"
        connection.setsockopt(zmq.IDENTITY, name.encode())
        connection.setsockopt(zmq.LINGER, 0)
        connection.connect(settings.socket("daemons"))
        hello = Hello(daemon=name, owner=settings.owner, capacity=1, agents=("shell",))
        connection.send_multipart([b"reports", header(name), REPORTS.encode([hello])])
        fleet.append((name, connection))
    pause = settings.heartbeat_seconds / number
    at, due = 0, time.monotonic()
    while not select.select([0], [], [], max(due - time.monotonic(), 0))[0]:
        name, connection = fleet[at % number]
        connection.send_multipart([b"reports", header(name), REPORTS.encode([Heartbeat(daemon=name)])])
        while connection.poll(0):
            connection.recv_multipart()
        at, due = at + 1, due + pause
    context.destroy(linger=0)


if __name__ == "__main__":
    main()
