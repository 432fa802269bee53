"""W12: a thousand daemons over the link: how fast they connect, what the broker takes, and how soon all are back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psycopg

from bench.cluster import Cluster, cluster, free_port
from bench.figures import Figure, percentile
from bench.workloads import chain
from bench.workloads.presence import DAEMONS, IDLE_SECONDS
from shared.bus.link import Admitted, KeyPair, key_pair, write_admitted
from shared.config.embedded_url import SUPERUSER, embedded_url


def run(scale: float) -> list[Figure]:
    """W12. The command goes to a daemon on this machine, chosen from among them all."""
    number, idle_seconds = max(round(DAEMONS * scale), 2), max(IDLE_SECONDS * scale, 1.0)
    with cluster(link=f"127.0.0.1:{free_port()}") as running, tempfile.TemporaryDirectory() as folder:
        driver, api = running.driver(), running.api()
        keys = Path(folder) / "keys"
        pairs = [key_pair() for _ in range(number)]
        keys.write_text("\n".join(pair.secret for pair in pairs))
        _enrol(running, pairs)
        began = time.monotonic()
        fleet = subprocess.Popen(
            [sys.executable, "-m", "bench.fleet", str(number), str(keys)],
            env=running.environment,
            stdin=subprocess.PIPE,
        )
        try:
            running.await_rows("SELECT FROM makima.daemon WHERE connected", (), number + 1)
            joined = time.monotonic() - began
            time.sleep(min(idle_seconds, 3.0))
            before, began = running.cpu_seconds()["broker"], time.monotonic()
            time.sleep(idle_seconds)
            cores = (running.cpu_seconds()["broker"] - before) / (time.monotonic() - began)
            steps = max(round(chain.STEPS * scale), 3)
            api.create("chain", chain.plan(steps), start=True)
            routes = [s.routed_ms for s in driver.collect(steps + 1)]
            back = _restarted(running, number)
        finally:
            assert fleet.stdin is not None
            fleet.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                fleet.wait(30)
    return [
        Figure(name=f"from nothing to {number:,} daemons connected", value=joined, unit="s"),
        Figure(name="daemons connected a second", value=number / joined, unit="/s"),
        Figure(name=f"CPU of the broker with {number:,} daemons", value=cores, unit="cores", goal=0.2),
        Figure(name="command sent to command received p50", value=percentile(routes, 50), unit="ms"),
        Figure(name="command sent to command received p99", value=percentile(routes, 99), unit="ms", goal=6.0),
        Figure(name="all back after the broker's restart", value=back, unit="s", goal=10.0),
    ]


def _enrol(running: Cluster, pairs: list[KeyPair]) -> None:
    """Have these keys accepted, as if people had accepted each."""
    names = [f"idle-{n}" for n in range(len(pairs))]
    with psycopg.connect(embedded_url(running.home, role=SUPERUSER)) as connection:
        connection.execute(
            "INSERT INTO makima.daemon_key (public_key, owner_id, name, status)"
            " SELECT u.key, o.id, u.name, 'accepted'"
            " FROM makima.owner o, unnest(%s::text[], %s::text[]) AS u (key, name)",
            ([pair.public for pair in pairs], names),
        )
    admitted = [Admitted(key=p.public, name=n, kind="daemon") for p, n in zip(pairs, names, strict=True)]
    write_admitted(running.home, admitted, asking=False)


def _restarted(running: Cluster, number: int) -> float:
    """Seconds from the broker's death until Postgres has heard every daemon anew."""
    with psycopg.connect(embedded_url(running.home, role=SUPERUSER), autocommit=True) as connection:
        died = connection.execute("SELECT clock_timestamp()").fetchone() or ()
        began = time.monotonic()
        os.kill(running.processes()["broker"].pid, signal.SIGKILL)
        running.await_rows("SELECT FROM makima.daemon WHERE connected AND last_seen > %s", died, number)
    return time.monotonic() - began
