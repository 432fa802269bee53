"""Many listeners to live events, some stuck: those are cut off, the others get all, and memory stays bounded."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.faults import jobs
from tests.faults.conftest import Faulty
from tests.nothing_lost import assert_nothing_lost
from tests.waiting import until

READING, STUCK = 190, 10
LOUD = "for i in $(seq 1500); do printf '%08000d\\n' $i; done"
"""12 MB: more than is kept for a listener, and than sockets hold."""
MAX_GROWTH = (STUCK * 4 + 96) << 20
"""What is kept for each of the stuck, and as much as 200 connections and the output itself may take for a while."""


def address(faulty: Faulty) -> tuple[str, int]:
    return "127.0.0.1", int(faulty.environment["MAKIMA_PORT"])


def token(faulty: Faulty) -> str:
    return (faulty.home / "token").read_text().strip()


def stuck(faulty: Faulty, directive: str) -> socket.socket:
    """A listener that never reads."""
    connection = socket.create_connection(address(faulty))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    head = f"GET /v1/events?directive={directive}&after=0 HTTP/1.1\r\nhost: localhost\r\n"
    connection.sendall(f"{head}authorization: Bearer {token(faulty)}\r\n\r\n".encode())
    return connection


async def listen(client: httpx.AsyncClient, ready: asyncio.Semaphore, last: str) -> list[int]:
    """The numbers of all events until the directive `last` is completed."""
    seen: list[int] = []
    async with client.stream("GET", "/v1/events") as answer:
        async for line in answer.aiter_lines():
            if line.startswith("retry:"):
                ready.release()
            if not line.startswith("data: "):
                continue
            event = json.loads(line[6:])
            if event.get("seq") is not None:
                seen.append(event["seq"])
            ended = event["type"] == "directive.changed" and event["body"]["status"] == "completed"
            if ended and event["directive_id"] == last:
                return seen
    raise AssertionError("the stream ended")


async def all_listen(faulty: Faulty, directive: str) -> list[list[int]]:
    """What each of the readers saw of one directive's run."""
    host, port = address(faulty)
    limits = httpx.Limits(max_connections=None)
    headers = {"authorization": f"Bearer {token(faulty)}"}
    base = f"http://{host}:{port}"
    async with httpx.AsyncClient(base_url=base, headers=headers, limits=limits, timeout=120) as client:
        ready = asyncio.Semaphore(0)
        reading = [asyncio.create_task(listen(client, ready, directive)) for _ in range(READING)]
        for _ in reading:
            await ready.acquire()
        assert (await client.post(f"/v1/directives/{directive}/start")).status_code < 300
        return await asyncio.gather(*reading)


def connections(faulty: Faulty, ports: set[int]) -> set[int]:
    """Which of these ports the gateway still has a connection with."""
    held = psutil.Process(faulty.process("gateway")).net_connections("tcp")
    return {c.raddr.port for c in held if c.raddr} & ports


@pytest.mark.long
def test_ten_stuck_listeners_of_two_hundred_cost_the_others_nothing(faulty: Faulty, origin: Path) -> None:
    path = origin.parent / "plan.json"
    path.write_text(
        json.dumps(
            [{"name": f"step {n}", "taskPlan": f"{LOUD if n == 0 else 'true'}; echo > {n}.txt"} for n in range(4)]
        )
    )
    directive = jobs.make(faulty, "directive", "create", "--title", "Loud", "--repo", str(origin), "--plan", str(path))
    gateway = psutil.Process(faulty.process("gateway"))
    before = gateway.memory_info().rss
    silent = [stuck(faulty, directive) for _ in range(STUCK)]
    ports = {connection.getsockname()[1] for connection in silent}
    heard = asyncio.run(all_listen(faulty, directive))
    assert all(numbers == heard[0] for numbers in heard)
    assert heard[0] == sorted(set(heard[0]))
    until(lambda: not connections(faulty, ports), "those who never read are cut off, though they keep their end open")
    assert gateway.memory_info().rss - before < MAX_GROWTH
    for connection in silent:
        connection.close()
    assert resumed(faulty, directive, after=heard[0][0]) == [
        n for n in numbers_of(faulty, directive) if n > heard[0][0]
    ]
    assert_nothing_lost(faulty)


def numbers_of(faulty: Faulty, directive: str) -> list[int]:
    """The numbers of a directive's audit log."""
    events: list[dict[str, Any]] = json.loads(faulty.makima("directive", "log", directive, "-o", "json"))
    return [event["seq"] for event in events]


def resumed(faulty: Faulty, directive: str, after: int) -> list[int]:
    """What one gets who was cut off, and asks again after the last number that it saw."""
    host, port = address(faulty)
    wanted = [n for n in numbers_of(faulty, directive) if n > after]
    seen: list[int] = []
    headers = {"authorization": f"Bearer {token(faulty)}", "last-event-id": str(after)}
    with httpx.stream("GET", f"http://{host}:{port}/v1/events?directive={directive}", headers=headers) as answer:
        for line in answer.iter_lines():
            if line.startswith("id: "):
                seen.append(int(line[4:]))
                if seen[-1] >= wanted[-1]:
                    break
    return seen
