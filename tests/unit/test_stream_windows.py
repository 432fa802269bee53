"""Streams of agents' requests: whatever comes in which order, windows hold, and bytes go on in order or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.daemon.link.streams import Stream, Streams
from services.daemon.link.windows import CROWDED_PIECES, OutOfPlace, Receiving, Sending
from shared.messages.link import (
    MAX_STREAMS,
    PIECE_BYTES,
    WINDOW_BYTES,
    Close,
    Open,
    Piece,
    Reset,
    Taken,
    Upward,
)

TURNS = 30
"""Of the loop, for what is under way to come to rest."""


def test_a_piece_is_as_large_as_both_a_piece_and_the_window_allow() -> None:
    sending = Sending()
    sent = 0
    while room := sending.room:
        assert room <= PIECE_BYTES
        sent += len(sending.piece(1, b"x" * (room - (sent == 0))).data)
    assert sent == WINDOW_BYTES
    sending.taken(10)
    assert sending.room == 10


def test_nothing_more_is_taken_than_was_sent() -> None:
    sending = Sending()
    sending.piece(1, b"abc")
    with pytest.raises(OutOfPlace):
        sending.taken(4)


def test_an_older_word_on_what_was_taken_changes_nothing() -> None:
    sending = Sending()
    sending.piece(1, b"x" * 100)
    sending.taken(100)
    sending.taken(50)
    sending.piece(1, b"x" * PIECE_BYTES)
    sending.taken(100 + PIECE_BYTES)


def test_many_small_pieces_without_a_word_make_it_slower() -> None:
    sending = Sending()
    for _ in range(CROWDED_PIECES):
        assert not sending.crowded
        sending.piece(1, b"x")
    assert sending.crowded and sending.on_their_way
    sending.heard()
    assert not sending.crowded and not sending.on_their_way
    sending.piece(1, b"")
    assert not sending.on_their_way, "an end leaves nothing"


@given(st.lists(st.tuples(st.integers(0, PIECE_BYTES), st.booleans(), st.integers(-1, 1)), max_size=40))
def test_what_is_received_is_in_order_and_within_the_window(pieces: list[tuple[int, bool, int]]) -> None:
    receiving, at, gone_on = Receiving(), 0, 0
    for size, last, off in pieces:
        try:
            receiving.arrived(Piece(stream=1, at=max(at + off, 0), data=b"x" * size, last=last))
        except OutOfPlace:
            return
        assert off == 0 or at == 0
        at += size
        assert at - gone_on <= WINDOW_BYTES
        if size > PIECE_BYTES // 2:
            gone_on = receiving.gone_on(size)


def test_nothing_comes_after_the_end() -> None:
    receiving = Receiving()
    receiving.arrived(Piece(stream=1, at=0, data=b"x", last=True))
    with pytest.raises(OutOfPlace):
        receiving.arrived(Piece(stream=1, at=1, data=b"x"))


ACTIONS = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 3 * PIECE_BYTES)),
    st.tuples(st.just("read"), st.integers(1, 3 * PIECE_BYTES)),
    st.tuples(st.just("piece"), st.integers(0, PIECE_BYTES)),
    st.tuples(st.just("pieces"), st.integers(1, 12)),
    st.tuples(st.just("last"), st.integers(0, 100)),
    st.tuples(st.just("misplaced"), st.integers(1, PIECE_BYTES)),
    st.tuples(st.just("taken"), st.integers(0, WINDOW_BYTES)),
    st.tuples(st.just("all taken"), st.just(0)),
    st.tuples(st.just("shut"), st.just(0)),
    st.tuples(st.just("leave"), st.just(0)),
    st.tuples(st.just("close"), st.just(0)),
    st.tuples(st.just("reset"), st.just(0)),
)


class Played:
    """Both ends of one stream: the agent's, and the other side of the link."""

    def __init__(self) -> None:
        self.agent, carried = socket.socketpair()
        self.agent.setblocking(False)
        carried.setblocking(False)
        self.said: list[Upward] = []
        self.stream = Stream(7, carried, self.say)
        self.wrote, self.read = bytearray(), bytearray()
        self.up, self.down = bytearray(), bytearray()
        self.taken = self.told = 0
        self.pattern = 0
        self.open = True
        """The agent's end."""
        self.broken = False
        """The other side has said what it may not."""

    async def say(self, message: Upward) -> None:
        self.said.append(message)
        if isinstance(message, Piece):
            assert message.at == len(self.up), "pieces follow each other"
            assert len(message.data) <= PIECE_BYTES
            self.up += message.data
            assert len(self.up) - self.taken <= WINDOW_BYTES, "the window holds"
        elif isinstance(message, Taken):
            assert self.told < message.upto <= len(self.down)
            self.told = message.upto

    def fresh(self, number: int) -> bytes:
        """Bytes that tell when they are out of order."""
        self.pattern += 1
        return bytes((self.pattern + n // 251) % 256 for n in range(number))

    def act(self, kind: str, number: int) -> None:
        match kind:
            case "write" if self.open:
                with contextlib.suppress(OSError):
                    data = self.fresh(number)
                    self.wrote += data[: self.agent.send(data)]
            case "read" if self.open:
                with contextlib.suppress(OSError):
                    self.read += self.agent.recv(number)
            case "piece":
                self._piece(number, last=False)
            case "pieces":
                for _ in range(number):
                    self._piece(PIECE_BYTES, last=False)
            case "last":
                self._piece(number, last=True)
            case "misplaced":
                self.broken = True
                self.stream.on(Piece(stream=7, at=len(self.down) + number, data=b"x"))
            case "taken":
                self.broken |= number > len(self.up)
                self.taken = max(self.taken, number) if number <= len(self.up) else self.taken
                self.stream.on(Taken(stream=7, upto=number))
            case "all taken":
                self.taken = len(self.up)
                self.stream.on(Taken(stream=7, upto=self.taken))
            case "shut" if self.open:
                with contextlib.suppress(OSError):
                    self.agent.shutdown(socket.SHUT_WR)
            case "leave":
                self.open = False
                self.agent.close()
            case "close":
                self.stream.on(Close(stream=7))
            case "reset":
                self.stream.end(by_other_side=True)

    def _piece(self, number: int, *, last: bool) -> None:
        data = self.fresh(number)
        piece = Piece(stream=7, at=len(self.down), data=data, last=last)
        self.broken |= self.ended or not (data or last) or len(self.down) + number - self.told > WINDOW_BYTES
        self.ended = self.ended or last
        if not self.broken:
            self.down += data
        self.stream.on(piece)

    ended = False


@settings(max_examples=150)
@given(st.lists(ACTIONS, max_size=25))
def test_a_stream_keeps_order_and_windows_or_closes(actions: list[tuple[str, int]]) -> None:
    async def play() -> None:
        played = Played()
        carrying = asyncio.create_task(played.stream.carry())
        for kind, number in actions:
            played.act(kind, number)
            for _ in range(TURNS):
                await asyncio.sleep(0)
            assert played.stream._pieces.qsize() <= WINDOW_BYTES // PIECE_BYTES + 2 or number < PIECE_BYTES
            if carrying.done():
                break
        if played.open:
            with contextlib.suppress(OSError):
                while data := played.agent.recv(1 << 20):
                    played.read += data
                    await asyncio.sleep(0)
        assert bytes(played.wrote).startswith(bytes(played.up)), "what was written goes up in order"
        assert bytes(played.down).startswith(bytes(played.read)), "what came down is read in order"
        if played.broken:
            await asyncio.wait_for(carrying, 5)
            assert isinstance(played.said[-1], Close)
        played.stream.end(by_other_side=True)
        await asyncio.wait_for(carrying, 5)
        assert isinstance(played.said[0], Open)
        played.agent.close()

    asyncio.run(play())


async def test_an_end_with_pieces_on_their_way_keeps_its_place_and_others_wait(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("services.daemon.link.streams._LINGER_SECONDS", 0.3)
    opened: list[int] = []

    async def say(message: Upward) -> None:
        if isinstance(message, Open):
            opened.append(message.stream)

    streams = Streams(tmp_path / "s" / "gateway.sock", say, lambda: True)
    serving = asyncio.create_task(streams.serve())
    while not (tmp_path / "s" / "gateway.sock").exists():
        await asyncio.sleep(0.01)
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    agents = [socket.socket(socket.AF_UNIX) for _ in range(MAX_STREAMS + 3)]
    for agent in agents:
        agent.connect(str(tmp_path / "s" / "gateway.sock"))
        agent.sendall(b"x")
    await _reached(lambda: len(opened) == MAX_STREAMS)
    await asyncio.sleep(0.05)
    assert len(opened) == MAX_STREAMS and opened == list(range(opened[0], opened[0] + MAX_STREAMS))
    for agent in agents[:3]:
        agent.close()
    await asyncio.sleep(0.1)
    assert len(opened) == MAX_STREAMS, "what they sent may still wait in the socket"
    await _reached(lambda: len(opened) == MAX_STREAMS + 3)
    streams.on(Reset())
    for agent in agents[3:]:
        agent.setblocking(False)
        assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(agent, 1), 5) == b""
        agent.close()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert not (tmp_path / "s" / "gateway.sock").exists()


async def test_without_the_link_a_connection_ends_at_once(tmp_path: Path) -> None:
    async def say(message: Upward) -> None:
        raise AssertionError(message)

    streams = Streams(tmp_path / "gateway.sock", say, lambda: False)
    serving = asyncio.create_task(streams.serve())
    while not (tmp_path / "gateway.sock").exists():
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "gateway.sock"))
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def _reached(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)
