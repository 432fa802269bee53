"""A channel to a broker that is away: what waits for it is bounded, and nobody has to wait."""

from __future__ import annotations

import asyncio
from pathlib import Path

import zmq

from shared.bus import channel
from shared.bus.channel import Channel


def test_what_waits_for_a_broker_that_is_away_is_bounded(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(channel, "MAX_WAITING", 5)
    endpoint = f"ipc://{tmp_path}/c.sock"

    async def say(number: int) -> list[bytes]:
        context = zmq.Context()
        said = Channel(context, endpoint, "test")
        for n in range(number):
            await said.send("test.say", b"word", str(n).encode())
        broker = context.socket(zmq.ROUTER)
        broker.bind(endpoint)
        heard = []
        while broker.poll(2000):
            heard.append(broker.recv_multipart()[-1])
            if len(heard) == 5 and not broker.poll(200):
                break
        broker.close()
        said.close()
        context.term()
        return heard

    assert asyncio.run(say(50)) == [b"0", b"1", b"2", b"3", b"4"]
