"""The limit: the bare path of a step, without all that makima does on it.

A broker, a monitor, an executor and a daemon, each a process with one loop: minimal tables, one statement a phase, a
commit that waits for the disk. Each drains its queue before its statement, so that whatever waits is one batch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import zmq

from bench.peers.work import Stamps, serve, stamp

TABLES = """
    CREATE TABLE step (id bigserial PRIMARY KEY, name text NOT NULL, status text NOT NULL, blocked_by int NOT NULL);
    CREATE TABLE edge (step bigint NOT NULL, on_step bigint NOT NULL, PRIMARY KEY (on_step, step));
"""
ENDED = """
    WITH ended AS (UPDATE step SET status = 'completed' WHERE id = ANY(%s) AND status = 'running' RETURNING id),
         freed AS (SELECT e.step, count(*) AS by FROM ended JOIN edge AS e ON e.on_step = ended.id GROUP BY e.step)
    UPDATE step AS s
       SET blocked_by = s.blocked_by - freed.by,
           status = CASE WHEN s.blocked_by = freed.by THEN 'ready' ELSE s.status END
      FROM freed
     WHERE s.id = freed.step
 RETURNING s.id, s.blocked_by = 0
"""
CLAIM = "UPDATE step SET status = 'running' WHERE id = ANY(%s) AND status = 'ready' RETURNING id, name"

STEPS = """
    INSERT INTO step (name, status, blocked_by)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::int[]) RETURNING id
"""
EDGES = "INSERT INTO edge SELECT * FROM unnest(%s::bigint[], %s::bigint[])"


class Line:
    """A connection to the broker under a name; messages are lists."""

    def __init__(self, folder: Path, name: str) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, name.encode())
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.connect(f"ipc://{folder}/broker")

    def send(self, to: str, items: list[object]) -> None:
        """Send one message, unless it is empty."""
        if items:
            self._socket.send_multipart([to.encode(), json.dumps(items).encode()])

    def take(self) -> list[Any]:
        """What every waiting message holds, once there is one."""
        found: list[Any] = json.loads(self._socket.recv())
        while self._socket.poll(0):
            found += json.loads(self._socket.recv())
        return found


def broker(folder: Path) -> None:
    """Pass messages on by name."""
    router: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
    router.setsockopt(zmq.SNDHWM, 0)
    router.setsockopt(zmq.RCVHWM, 0)
    router.bind(f"ipc://{folder}/broker")
    while True:
        _, to, body = router.recv_multipart()
        router.send_multipart([to, body])


def monitor(folder: Path) -> None:
    """Record what ended, and say what is ready now."""
    line = Line(folder, "monitor")
    line.send("client", ["monitor"])
    with psycopg.connect(os.environ["BENCH_POSTGRES"], autocommit=True) as connection:
        while True:
            rows = connection.execute(ENDED, (line.take(),), prepare=True).fetchall()
            line.send("executor", [step for step, ready in rows if ready])


def executor(folder: Path) -> None:
    """Claim what is ready, and send it to the daemon."""
    line = Line(folder, "executor")
    line.send("client", ["executor"])
    with psycopg.connect(os.environ["BENCH_POSTGRES"], autocommit=True) as connection:
        while True:
            rows = connection.execute(CLAIM, (line.take(),), prepare=True).fetchall()
            line.send("daemon", [list(row) for row in rows])


def daemon(folder: Path) -> None:
    """Run steps, and report each."""
    line = Line(folder, "daemon")
    line.send("client", ["daemon"])
    while True:
        for step, name in line.take():
            stamp(name)
            line.send("monitor", [step])


class Peer:
    """Plans, written by whoever asks, who tells the executor of the first step."""

    def __init__(self, folder: Path) -> None:
        self._line = Line(folder, "client")
        self._connection = psycopg.connect(os.environ["BENCH_POSTGRES"], autocommit=True)
        self._connection.execute(TABLES)

    def chain(self, steps: int) -> None:
        """A chain."""
        self._start([(f"step {n}", [n - 1] if n else []) for n in range(steps)])

    def fans(self, number: int, width: int) -> None:
        """One, many, one; so many times."""
        for _ in range(number):
            middle = [("middle", [0])] * width
            self._start([("first", []), *middle, ("last", list(range(1, width + 1)))])

    def one(self) -> None:
        """A single step."""
        self._start([("only", [])])

    def await_one(self, role: str) -> None:
        """Wait until a process can be reached: the broker passes a message back, the others send one."""
        if role == "broker":
            self._line.send("client", [role])
        assert self._line.take() == [role]

    def _start(self, plan: list[tuple[str, list[int]]]) -> None:
        """Store steps, each with the positions of those it depends on, and start the first."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            rows = [(name, "pending" if on else "ready", len(on)) for name, on in plan]
            ids = [row[0] for row in cursor.execute(STEPS, _columns(rows))]
            edges = [(ids[step], ids[one]) for step, (_, on) in enumerate(plan) for one in on]
            if edges:
                cursor.execute(EDGES, _columns(edges))
        self._line.send("executor", [ids[0]])


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


def main() -> None:
    """Serve; with a name as the second argument, be that process."""
    folder = Path(sys.argv[1])
    roles = {"broker": broker, "monitor": monitor, "executor": executor, "daemon": daemon}
    if len(sys.argv) > 2:
        return roles[sys.argv[2]](folder)
    stamps = Stamps(folder / "stamps")
    peer = Peer(folder)
    processes = []
    try:
        for role in roles:
            processes.append(subprocess.Popen((sys.executable, "-m", "bench.peers.sketch", folder, role)))
            peer.await_one(role)
        serve(peer, stamps)
    finally:
        for process in processes:
            process.terminate()
            process.wait()
    return None


if __name__ == "__main__":
    main()
