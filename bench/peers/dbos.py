"""DBOS: a workflow's steps, recorded in Postgres. In process, or each a workflow of its own by way of a queue.

Both ways in one process, as its library is meant to be used. By the queue, it is asked to look for work every 10 ms,
and for the end of what it waits for as often.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from dbos import DBOS, Queue

from bench.peers.work import Stamps, serve, stamp

POLLING_SECONDS = 0.01
QUEUE = "steps"


@DBOS.step()
async def step(name: str) -> None:
    """A step in process."""
    stamp(name)


@DBOS.workflow()
async def chain_in_process(steps: int) -> None:
    """Steps, one after another."""
    for n in range(steps):
        await step(f"step {n}")


@DBOS.workflow()
async def fan_in_process(width: int) -> None:
    """One, many at once, one."""
    await step("first")
    await asyncio.gather(*(step("middle") for _ in range(width)))
    await step("last")


@DBOS.workflow()
async def queued(name: str) -> None:
    """A step that comes by the queue."""
    stamp(name)


@DBOS.workflow()
async def chain_by_queue(steps: int) -> None:
    """Steps, one after another."""
    queue = await _queue()
    for n in range(steps):
        await _run(queue, f"step {n}")


@DBOS.workflow()
async def fan_by_queue(width: int) -> None:
    """One, many at once, one."""
    queue = await _queue()
    await _run(queue, "first")
    handles = [await queue.enqueue_async(queued, "middle") for _ in range(width)]
    for handle in handles:
        await handle.get_result(polling_interval_sec=POLLING_SECONDS)
    await _run(queue, "last")


async def _queue() -> Queue:
    queue = await DBOS.retrieve_queue_async(QUEUE)
    assert queue is not None
    return queue


async def _run(queue: Queue, name: str) -> None:
    handle = await queue.enqueue_async(queued, name)
    await handle.get_result(polling_interval_sec=POLLING_SECONDS)


class Peer:
    """Workflows, started from outside of the loop that runs them."""

    def __init__(self, by_queue: bool) -> None:
        self._chain, self._fan = (chain_by_queue, fan_by_queue) if by_queue else (chain_in_process, fan_in_process)
        self._by_queue = by_queue
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def chain(self, steps: int) -> None:
        """A workflow."""
        self._ask(DBOS.start_workflow_async(self._chain, steps))

    def fans(self, number: int, width: int) -> None:
        """A workflow each."""
        for _ in range(number):
            self._ask(DBOS.start_workflow_async(self._fan, width))

    def one(self) -> None:
        """A workflow of one step."""
        if self._by_queue:
            self._ask(self._enqueue())
        else:
            self._ask(DBOS.start_workflow_async(chain_in_process, 1))

    async def _enqueue(self) -> None:
        await (await _queue()).enqueue_async(queued, "only")

    def _ask(self, call: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(call, self._loop).result()


def main() -> None:
    """Serve; `queue` as the second argument for the other way."""
    stamps = Stamps(Path(sys.argv[1]) / "stamps")
    DBOS(config={"name": "bench", "system_database_url": os.environ["BENCH_POSTGRES"], "log_level": "ERROR"})
    DBOS.launch()
    DBOS.register_queue(QUEUE, polling_interval_sec=POLLING_SECONDS)
    serve(Peer("queue" in sys.argv), stamps)
    DBOS.destroy()


if __name__ == "__main__":
    main()
