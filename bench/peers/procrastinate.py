"""procrastinate: jobs in Postgres, run by two workers of 64 slots that are notified of new ones.

It knows no dependencies: a step defers the next one itself, and those of a fan count down in a row of their own, in the
transaction that defers the last.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from pathlib import Path

from procrastinate import App, PsycopgConnector

from bench.peers.work import Stamps, serve, stamp

SLOTS = 64
POSTGRES = os.environ["BENCH_POSTGRES"]
connector = PsycopgConnector(conninfo=POSTGRES, min_size=4, max_size=8)
app = App(connector=connector)


@app.task(name="only")
async def only() -> None:
    """A single step."""
    stamp("only")


@app.task(name="link")
async def link(number: int, steps: int) -> None:
    """A step of a chain."""
    stamp(f"step {number}")
    if number + 1 < steps:
        await link.defer_async(number=number + 1, steps=steps)


@app.task(name="first")
async def first(fan: str, width: int) -> None:
    """The first of a fan."""
    stamp("first")
    await middle.batch_defer_async(*({"fan": fan} for _ in range(width)))


@app.task(name="middle")
async def middle(fan: str) -> None:
    """One of many; the one that is left over at the end goes on."""
    stamp("middle")
    async with connector.pool.connection() as connection, connection.transaction():
        counted = await connection.execute("UPDATE fan SET steps = steps - 1 WHERE id = %s RETURNING steps", (fan,))
        (left,) = await counted.fetchone()
        if not left:
            await last.configure(connection=connection).defer_async()


@app.task(name="last")
async def last() -> None:
    """The last of a fan."""
    stamp("last")


class Peer:
    """Jobs, deferred from outside of the workers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def chain(self, steps: int) -> None:
        """The first job."""
        self._loop.run_until_complete(link.defer_async(number=0, steps=steps))

    def fans(self, number: int, width: int) -> None:
        """A row and a job each."""
        self._loop.run_until_complete(self._fans(number, width))

    def one(self) -> None:
        """A job."""
        self._loop.run_until_complete(only.defer_async())

    async def _fans(self, number: int, width: int) -> None:
        for _ in range(number):
            fan = str(uuid.uuid4())
            async with connector.pool.connection() as connection:
                await connection.execute("INSERT INTO fan VALUES (%s, %s)", (fan, width))
            await first.defer_async(fan=fan, width=width)


async def _set_up() -> None:
    await app.open_async()
    await app.schema_manager.apply_schema_async()
    async with connector.pool.connection() as connection:
        await connection.execute("CREATE TABLE fan (id text PRIMARY KEY, steps int NOT NULL)")


async def _work() -> None:
    async with app.open_async():
        await app.run_worker_async(concurrency=SLOTS, install_signal_handlers=True)


def main() -> None:
    """Serve, with two workers; `worker` as the only argument runs one."""
    if sys.argv[1] == "worker":
        return asyncio.run(_work())
    stamps = Stamps(Path(sys.argv[1]) / "stamps")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(_set_up())
    argv = (sys.executable, "-m", "bench.peers.procrastinate", "worker")
    workers = [subprocess.Popen(argv, stdout=sys.stderr) for _ in range(2)]
    try:
        peer = Peer(loop)
        peer.one()
        stamps.take(1)  # somebody works
        serve(peer, stamps)
    finally:
        loop.run_until_complete(app.close_async())
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait(30)
    return None


if __name__ == "__main__":
    main()
