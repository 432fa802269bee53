"""dask.distributed: a scheduler and two workers, each a process. It keeps nothing on disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from dask import delayed
from distributed import Client, LocalCluster

from bench.peers.work import Stamps, serve, stamp


def step(name: str, *_: object) -> None:
    """A step; what it depends on is passed along."""
    stamp(name)


class Peer:
    """Graphs, sent as they are: dask would make one task of a chain."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._step = delayed(step, pure=False)
        self._kept: list[Any] = []

    def chain(self, steps: int) -> None:
        """Each step is passed the one before."""
        last = self._step("step 0")
        for n in range(1, steps):
            last = self._step(f"step {n}", last)
        self._send([last])

    def fans(self, number: int, width: int) -> None:
        """The last is passed all of the middle, each of which is passed the first."""
        graphs = []
        for _ in range(number):
            first = self._step("first")
            graphs.append(self._step("last", *(self._step("middle", first) for _ in range(width))))
        self._send(graphs)

    def one(self) -> None:
        """A single call."""
        self._kept = [self._client.submit(step, "only", pure=False)]

    def _send(self, graphs: list[Any]) -> None:
        self._kept = self._client.compute(graphs, optimize_graph=False)


def main() -> None:
    """Serve, with two workers."""
    stamps = Stamps(Path(sys.argv[1]) / "stamps")
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=sys.argv[1]
        ) as cluster,
        Client(cluster) as client,
    ):
        serve(Peer(client), stamps)


if __name__ == "__main__":
    main()
