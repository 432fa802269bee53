"""Requests of agents on other machines: each a stream to the gateway's own socket, within its windows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from services.gateway.link.stream import SILENT_SECONDS, Stream
from shared.messages.frames import DOWNWARD
from shared.messages.link import MAX_STREAMS, PIECE_BYTES, WINDOW_BYTES, Close, Open, Piece, Reset, Taken
from tests.contract.gateway.test_gateway import free_port
from tests.contract.gateway.test_gateway import http as http
from tests.contract.service_harness import ServiceHarness

SERVICE = "gateway"
SETTINGS = {"port": str(free_port()), "link": "127.0.0.1:8421"}


class Far:
    """A daemon's end of one stream."""

    def __init__(self, stage: ServiceHarness, number: int, daemon: str = "d1") -> None:
        self.stage = stage
        self.number = number
        self.who = f"daemon:{daemon}"
        self.sent = 0
        stage.call(self.who, Open(stream=number))

    def send(self, data: bytes, last: bool = False) -> None:
        """Bytes, in pieces, whatever the window."""
        pieces = [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)] or [b""]
        for n, piece in enumerate(pieces, 1):
            ends = last and n == len(pieces)
            self.stage.call(self.who, Piece(stream=self.number, at=self.sent, data=piece, last=ends))
            self.sent += len(piece)

    def send_within_the_window(self, data: bytes) -> None:
        """Bytes, as fast as the gateway takes them."""
        for at in range(0, len(data), PIECE_BYTES):
            piece = data[at : at + PIECE_BYTES]
            self.stage.until(lambda: self.sent + PIECE_BYTES - self.upto <= WINDOW_BYTES, "room")
            self.send(piece)

    @property
    def upto(self) -> int:
        """What the gateway has said that it took."""
        return max([a.upto for a in self._answers() if isinstance(a, Taken)], default=0)

    @property
    def came(self) -> bytes:
        """What came back, each piece in its place."""
        came = b""
        for answer in self._answers():
            if isinstance(answer, Piece):
                assert answer.at == len(came) and len(answer.data) <= PIECE_BYTES
                came += answer.data
        return came

    @property
    def ended(self) -> bool:
        """Whether the last piece came."""
        return any(isinstance(answer, Piece) and answer.last for answer in self._answers())

    @property
    def closed(self) -> bool:
        """Whether the gateway has closed it."""
        return any(isinstance(answer, Close) for answer in self._answers())

    def taken(self) -> None:
        """All that came has gone on."""
        self.stage.call(self.who, Taken(stream=self.number, upto=len(self.came)))

    def close(self) -> None:
        """Over."""
        self.stage.call(self.who, Close(stream=self.number))

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait."""
        self.stage.until(condition, what)

    def _answers(self) -> list[Any]:
        return [a for who, a in self.stage.answers if who == self.who and getattr(a, "stream", None) == self.number]


def request(stage: ServiceHarness, method: str, path: str, body: object = None, keep: bool = False) -> bytes:
    """A person's request."""
    token = (stage.settings.home / "token").read_text().strip()
    text = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}",
        f"Connection: {'keep-alive' if keep else 'close'}", f"Content-Length: {len(text)}", "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode() + text


def body_of(answer: bytes) -> Any:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 2"), head
    return json.loads(body)


def much(stage: ServiceHarness, megabytes: int = 2) -> UUID:
    """A directive whose answer is this long."""
    directive = stage.rows.directive()
    for n in range(megabytes * 10):
        stage.rows.step(directive, f"step {n}", description="x" * 100_000)
    return directive


def is_well(stage: ServiceHarness, number: int = 1_000_000, daemon: str = "d1") -> None:
    """A fence: whatever was said before has been taken in."""
    far = Far(stage, number, daemon)
    far.send(request(stage, "GET", "/healthz"))
    far.until(lambda: far.ended, "an answer")
    assert body_of(far.came) == {"status": "ok"}
    far.close()


def files(stage: ServiceHarness) -> int:
    """Sockets that the gateway has open."""
    found = 0
    for one in Path(f"/proc/{stage.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found += str(one.readlink()).startswith("socket:")
    return found


def test_a_request_is_answered_as_it_is_on_the_gateways_own_socket(stage: ServiceHarness) -> None:
    far = Far(stage, 1)
    far.send(request(stage, "POST", "/v1/orders", {"title": "from afar"}))
    far.until(lambda: far.ended, "an answer")
    made = body_of(far.came)
    assert made["title"] == "from afar" and stage.rows.one("work_order", UUID(made["id"]))
    far.send(b"", last=True)
    is_well(stage)
    assert not far.closed


def test_without_a_token_a_request_by_a_stream_is_refused(stage: ServiceHarness) -> None:
    far = Far(stage, 1)
    far.send(b"GET /v1/overview HTTP/1.1\r\nHost: localhost\r\n\r\n")
    far.until(lambda: b"\r\n\r\n" in far.came, "an answer")
    assert far.came.startswith(b"HTTP/1.1 401")


def test_two_requests_of_one_stream_and_two_streams_of_one_daemon(stage: ServiceHarness) -> None:
    one, other, third = Far(stage, 1), Far(stage, 2), Far(stage, 1, "d2")
    for far in (one, other, third):
        far.send(request(stage, "GET", "/healthz", keep=True)[:30])
    for far in (third, other, one):
        far.send(request(stage, "GET", "/healthz", keep=True)[30:])
        far.send(request(stage, "GET", "/healthz", keep=True))
        far.until(lambda far=far: far.came.count(b'{"status":"ok"}') == 2, "two answers")  # type: ignore[misc]


def test_of_an_answer_no_more_is_sent_than_the_window_holds(stage: ServiceHarness, http: httpx.Client) -> None:
    directive = much(stage)
    far = Far(stage, 1)
    far.send(request(stage, "GET", f"/v1/directives/{directive}"))
    far.until(lambda: len(far.came) == WINDOW_BYTES, "a window full")
    is_well(stage)
    assert len(far.came) == WINDOW_BYTES and not far.ended
    while not far.ended:
        before = len(far.came)
        far.taken()
        far.until(lambda before=before: len(far.came) > before or far.ended, "more")  # type: ignore[misc]
    assert body_of(far.came) == http.get(f"/v1/directives/{directive}").json()


def test_a_long_request_goes_on_as_it_is_taken(stage: ServiceHarness) -> None:
    steps = [{"name": f"s{n}", "taskPlan": "y" * 60_000} for n in range(20)]
    far = Far(stage, 1)
    far.send_within_the_window(request(stage, "POST", "/v1/directives", {"title": "t", "goal": "g", "steps": steps}))
    far.until(lambda: bool(far.came), "an answer")
    assert far.came.startswith(b"HTTP/1.1 201") and far.upto > 4 * WINDOW_BYTES


def test_what_goes_beyond_the_window_ends_the_stream(stage: ServiceHarness) -> None:
    full = [Piece(stream=1, at=at, data=b"x" * PIECE_BYTES) for at in range(0, WINDOW_BYTES, PIECE_BYTES)]
    stage.call("daemon:d1", Open(stream=1), *full, Piece(stream=1, at=WINDOW_BYTES, data=b"x"))
    stage.await_answer(Close, stream=1)


@pytest.mark.parametrize("at", [1, 29, 31, 2**31 - 1])
def test_a_piece_out_of_place_ends_the_stream(stage: ServiceHarness, at: int) -> None:
    before = files(stage)
    far = Far(stage, 1)
    far.send(request(stage, "GET", "/healthz")[:30])
    stage.call(far.who, Piece(stream=1, at=at, data=b"x"))
    far.until(lambda: far.closed, "its end")
    far.until(lambda: files(stage) <= before, "the end of its connection")


def test_what_makes_no_sense_ends_the_stream(stage: ServiceHarness) -> None:
    for number, odd in enumerate((Taken(stream=0, upto=1), Piece(stream=0, at=0, data=b"")), 1):
        far = Far(stage, number)
        stage.call(far.who, type(odd)(**{**{n: getattr(odd, n) for n in odd.__struct_fields__}, "stream": number}))
        far.until(lambda far=far: far.closed, "its end")  # type: ignore[misc]
    done = Far(stage, 5)
    done.send(request(stage, "GET", "/healthz"), last=True)
    stage.call(done.who, Piece(stream=5, at=done.sent, data=b"more"))
    done.until(lambda: done.closed, "its end: it had said that there is no more")


def test_a_piece_of_a_stream_that_is_not_there_is_answered_so(stage: ServiceHarness) -> None:
    stage.call("daemon:d1", Piece(stream=7, at=0, data=b"x"), Taken(stream=8, upto=0), Close(stream=9))
    stage.await_answer(Close, stream=7)
    is_well(stage)
    assert [a for _, a in stage.answers if isinstance(a, Close)] == [Close(stream=7)]


@pytest.mark.parametrize("end", ["close", "last", "reset", "opened again"])
def test_whatever_ends_a_stream_ends_its_request(stage: ServiceHarness, end: str) -> None:
    _, task = stage.rows.running_step(stage.rows.directive())
    question = stage.rows.question(task)
    before = files(stage)
    far = Far(stage, 1)
    far.send(request(stage, "GET", f"/v1/questions/{question}?wait=25"))
    far.until(lambda: files(stage) > before, "the request")
    is_well(stage)
    if end == "close":
        far.close()
    elif end == "last":
        far.send(b"", last=True)
    elif end == "reset":
        stage.call(far.who, Reset())
    else:
        Far(stage, 1).close()
    far.until(lambda: files(stage) <= before, "the end of the request")
    assert not far.came


def test_a_daemon_has_so_many_streams_and_no_more_and_none_after_a_reset(stage: ServiceHarness) -> None:
    before = files(stage)
    streams = [Far(stage, number) for number in range(1, MAX_STREAMS + 2)]
    streams[-1].until(lambda: streams[-1].closed, "its end")
    assert not any(far.closed for far in streams[:-1])
    is_well(stage, daemon="d2")
    stage.call("daemon:d1", Reset())
    streams[0].until(lambda: files(stage) <= before, "the end of all of them")
    is_well(stage)
    stage.call("daemon:d1", Piece(stream=3, at=0, data=b"x"))
    stage.await_answer(Close, stream=3)


def test_a_stream_whose_daemon_is_silent_ends_and_one_that_waits_for_its_answer_does_not() -> None:
    async def streams() -> None:
        said: list[object] = []
        waiting, answered, taken = (Stream(number, said.append, lambda _: None) for number in (1, 2, 3))
        answered.data_received(b"200")
        taken.data_received(b"200")
        taken.take(Taken(stream=3, upto=3))
        for stream in (waiting, answered, taken):
            stream.close_if_silent()
        assert not any(isinstance(one, Close) for one in said)
        loop = asyncio.get_running_loop()
        now = loop.time()
        loop.time = lambda: now + SILENT_SECONDS + 1  # type: ignore[method-assign]
        for stream in (waiting, answered, taken):
            stream.close_if_silent()
        assert [one for one in said if isinstance(one, Close)] == [Close(stream=2)]
        taken.eof_received()
        loop.time = lambda: now + 3 * SILENT_SECONDS  # type: ignore[method-assign]
        taken.close_if_silent()
        assert said[-1] == Close(stream=3), "it never said that it sends no more"

    asyncio.run(streams())


def test_what_the_gateway_sends_is_what_it_says_that_it_sends(stage: ServiceHarness) -> None:
    is_well(stage)
    assert stage.answers and all(DOWNWARD.encode([answer]) for _, answer in stage.answers)
