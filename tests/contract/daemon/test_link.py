"""A daemon whose cluster is on another machine: everything of it by one connection, agents' requests with the rest."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.bus.link import Link, keep_link, key_pair, public_of, read_link, read_pending
from shared.config.home import make_home
from shared.domain.ids import new_id
from shared.messages.commands import CancelTask, SpawnTask
from shared.messages.link import (
    PIECE_BYTES,
    WINDOW_BYTES,
    Close,
    Join,
    Joined,
    NotJoined,
    Open,
    Piece,
    Reset,
    Taken,
    Upward,
)
from shared.messages.reports import (
    AnyReport,
    Hello,
    Identify,
    TaskFailed,
    TaskInterrupted,
    TaskStarted,
    TaskSucceeded,
)
from tests import forked
from tests.link_harness import ROOT, PlayedLink, makima

ASK = """
import os, socket, sys
asks = socket.socket(socket.AF_UNIX)
GATEWAY = os.environ["MAKIMA_API_URL"].removeprefix("unix://")
asks.connect(GATEWAY)
"""


class House:
    """A far daemon, and the link that it finds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "h"
        self.link = PlayedLink()
        self.keys = key_pair()
        self.link.admitted = {self.keys.public}
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "MAKIMA_HOME": str(self.home),
            "MAKIMA_HEARTBEAT_SECONDS": "0.3",
            "MAKIMA_SANDBOX_WRITABLE": str(folder),
            "MAKIMA_SLOTS": "3",
            "MAKIMA_LABELS": "own",
            "MAKIMA_DAEMON_NAME": "own",
        }
        make_home(self.home)
        keep_link(
            self.home,
            Link(
                address=self.link.address,
                server=self.link.keys.public,
                secret=self.keys.secret,
                name="laptop",
                owner="us",
                labels=("gpu",),
                slots=8,
            ),
        )
        self.start()

    def start(self) -> None:
        self.process = forked.fork("services.daemon", self.environment)
        self.link.reports.clear()
        self.hello()

    def hello(self) -> Hello:
        def said() -> list[Hello]:
            return [r for _, r in self.link.reports if isinstance(r, Hello)]

        self.link.until(said, "it says Hello")
        return said()[0]

    def close(self) -> None:
        self.process.terminate()
        self.link.until(lambda: self.process.poll() is not None, "it ends")
        self.link.close()

    @property
    def key(self) -> str:
        """By which it is connected."""
        link = read_link(self.home)
        assert link is not None
        return public_of(link.secret)

    def spawn(self, prompt: str, **more: Any) -> SpawnTask:
        spawn = SpawnTask(
            **{
                "task": new_id(),
                "attempt": 1,
                "owner": "us",
                "directive": new_id(),
                "kind": "step",
                "name": "Do it",
                "prompt": prompt,
                "task_plan": prompt,
                "environment": {"MAKIMA_API_URL": "unix:///of/the/cluster.sock"},
                **more,
            }
        )
        self.link.command(self.key, spawn)
        return spawn

    def report(self, kind: type[Any], task: SpawnTask) -> Any:
        def of_it() -> list[AnyReport]:
            return [r for _, r in self.link.reports if isinstance(r, kind) and r.task == task.task]

        self.link.until(of_it, f"a {kind.__name__}")
        return of_it()[0]

    def asks(self, script: str) -> SpawnTask:
        """A task whose agent runs this on the gateway's socket."""
        place = self.folder / f"{new_id().hex}.py"
        place.write_text(ASK + script)
        return self.spawn(f"{sys.executable} -I {place}")

    def sent(self, stream: int) -> bytes:
        """What came of a stream, in order."""
        data = b""
        for _, call in self.link.calls:
            if isinstance(call, Piece) and call.stream == stream:
                assert call.at == len(data)
                data += call.data
        return data

    def opened(self) -> list[int]:
        return [call.stream for _, call in self.link.calls if isinstance(call, Open)]


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("far"))
    yield house
    house.close()


@pytest.fixture
def house(theatre: House) -> Iterator[House]:
    """The module's daemon; at the end it lives."""
    theatre.link.calls.clear()
    theatre.link.on_call = lambda _key, _call: None
    yield theatre
    assert theatre.process.poll() is None


def test_it_is_what_the_cluster_says_with_no_more_slots_than_the_machine_has(house: House) -> None:
    hello = house.hello()
    assert (hello.daemon, hello.owner, hello.labels, hello.capacity) == ("laptop", "us", ("gpu",), 3)


def test_an_agent_reaches_the_cluster_by_the_daemons_own_socket(house: House) -> None:
    task = house.asks("asks.sendall(b'who am I')\nassert asks.recv(99) == b'nobody'")
    stream = house.link.call(Open).stream
    house.link.until(lambda: house.sent(stream) == b"who am I", "the request")
    house.link.tell(house.key, Piece(stream=stream, at=0, data=b"nobody"))
    assert house.report(TaskSucceeded, task)
    assert house.link.call(Taken).upto == len(b"nobody")
    house.link.call(Close)
    socket = house.home / "run" / "gateway" / "gateway.sock"
    assert (socket.stat().st_mode & 0o777, socket.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_no_more_goes_up_than_the_window_until_it_is_taken(house: House) -> None:
    task = house.asks(
        "whole = bytes(n % 251 for n in range(1_000_000))\nasks.sendall(whole)\nasks.shutdown(1)\n"
        "assert asks.recv(9) == b'all'"
    )
    stream = house.link.call(Open).stream
    house.link.until(lambda: len(house.sent(stream)) == WINDOW_BYTES, "a window")
    house.link.receive(0.5)
    assert len(house.sent(stream)) == WINDOW_BYTES

    def take(_key: str, call: Upward) -> None:
        if isinstance(call, Piece) and call.data:
            assert len(call.data) <= PIECE_BYTES
            house.link.tell(house.key, Taken(stream=stream, upto=call.at + len(call.data)))

    house.link.on_call = take
    house.link.tell(house.key, Taken(stream=stream, upto=WINDOW_BYTES))
    house.link.until(lambda: any(isinstance(c, Piece) and c.last for _, c in house.link.calls), "its end")
    assert house.sent(stream) == bytes(n % 251 for n in range(1_000_000))
    house.link.tell(house.key, Piece(stream=stream, at=0, data=b"all", last=True))
    assert house.report(TaskSucceeded, task)


def test_what_comes_down_is_told_to_be_taken_only_when_the_agent_has_it(house: House) -> None:
    task = house.asks(
        "import time\nasks.sendall(b'x')\nwhile not os.path.exists('go'): time.sleep(0.05)\n"
        "got = b''\nwhile part := asks.recv(65536): got += part\n"
        "assert got == bytes(n % 251 for n in range(32768)) * 16, len(got)"
    )
    stream = house.link.call(Open).stream
    piece = bytes(n % 251 for n in range(PIECE_BYTES))
    sent = 0
    while sent < WINDOW_BYTES:
        house.link.tell(house.key, Piece(stream=stream, at=sent, data=piece))
        sent += PIECE_BYTES
    house.link.receive(0.5)
    taken = [call.upto for _, call in house.link.calls if isinstance(call, Taken)]
    assert not taken or max(taken) < WINDOW_BYTES + PIECE_BYTES
    go = next((house.home / "daemons" / "laptop" / "worktrees").glob(f"{task.task.hex}*"))
    (go / "go").touch()
    while sent < 16 * PIECE_BYTES:
        wanted = sent + PIECE_BYTES - WINDOW_BYTES
        house.link.until(
            lambda wanted=wanted: any(c.upto >= wanted for _, c in house.link.calls if isinstance(c, Taken)), "room"
        )
        house.link.tell(house.key, Piece(stream=stream, at=sent, data=piece))
        sent += PIECE_BYTES
    house.link.tell(house.key, Piece(stream=stream, at=sent, data=b"", last=True))
    assert house.report(TaskSucceeded, task)


@pytest.mark.parametrize("broken_by", ["reset", "identify", "misplaced", "too much", "close"])
def test_a_stream_that_broke_ends_and_the_agent_may_ask_again(house: House, broken_by: str) -> None:
    task = house.asks(
        "asks.sendall(b'first')\nassert asks.recv(99) == b''\n"
        "again = socket.socket(socket.AF_UNIX)\nagain.connect(GATEWAY)\nagain.sendall(b'second')\n"
        "assert again.recv(99) == b'yes'"
    )
    first = house.link.call(Open).stream
    house.link.until(lambda: house.sent(first) == b"first", "the request")
    match broken_by:
        case "reset":
            house.link.tell(house.key, Reset())
        case "identify":
            house.link.reply(house.key, Identify())
        case "misplaced":
            house.link.tell(house.key, Piece(stream=first, at=5, data=b"x"))
        case "too much":
            house.link.tell(house.key, Taken(stream=first, upto=99))
        case _:
            house.link.tell(house.key, Close(stream=first))
    house.link.until(lambda: len(house.opened()) == 2, "another")
    second = house.opened()[1]
    assert second > first
    house.link.tell(house.key, Piece(stream=first, at=0, data=b"late"))
    house.link.until(lambda: house.sent(second) == b"second", "the other request")
    house.link.tell(house.key, Piece(stream=second, at=0, data=b"yes"))
    assert house.report(TaskSucceeded, task)
    closed = [c.stream for _, c in house.link.calls if isinstance(c, Close)]
    assert (first in closed) == (broken_by not in ("reset", "close"))


def test_the_end_of_an_agent_ends_what_it_asks(house: House) -> None:
    task = house.asks("asks.sendall(b'wait')\nasks.recv(1)")
    stream = house.link.call(Open).stream
    house.link.until(lambda: house.sent(stream) == b"wait", "the request")
    house.link.command(house.key, CancelTask(task=task.task, attempt=1, owner="us", reason="enough"))
    assert house.report(TaskInterrupted, task).cancelled
    assert house.link.call(Close).stream == stream


def test_a_broker_that_is_back_ends_streams_and_gets_a_new_one(house: House) -> None:
    task = house.asks(
        "asks.sendall(b'first')\nassert asks.recv(99) == b''\n"
        "import time\ntime.sleep(0.2)\nwhile True:\n"
        "    again = socket.socket(socket.AF_UNIX)\n    again.connect(GATEWAY)\n"
        "    try:\n        again.sendall(b'second')\n        got = again.recv(99)\n"
        "    except OSError: got = b''\n"
        "    if got: break\n    time.sleep(0.1)\n"
        "assert got == b'yes'"
    )
    stream = house.link.call(Open).stream
    house.link.until(lambda: house.sent(stream) == b"first", "the request")
    house.link.shut()
    house.link.calls.clear()
    house.link.open()
    house.link.until(house.opened, "another")
    again = house.opened()[-1]
    house.link.until(lambda: house.sent(again) == b"second", "the other request")
    house.link.tell(house.key, Piece(stream=again, at=0, data=b"yes"))
    assert house.report(TaskSucceeded, task)


@pytest.mark.parametrize("path", ["/of/the/cluster.git", str(ROOT)])
def test_a_folder_that_the_cluster_serves_to_nobody_waits_for_a_person(house: House, path: str) -> None:
    task = house.spawn("true", repository_url=path, branch="makima/x-1")
    failed = house.report(TaskFailed, task)
    assert failed.reason == (
        f"the repository {path} is a folder of the cluster's machine, and that is too old to serve it to others: "
        "upgrade it, or give the repository's address instead"
    ), "whatever is in its place on this machine"
    assert failed.blocked and not failed.permanent


def test_another_key_is_offered_by_the_one_before_and_shown_from_then_on(house: House) -> None:
    before = house.key

    def join(key: str, call: Upward) -> None:
        if isinstance(call, Join):
            house.link.admitted.add(call.key)
            house.link.tell(key, Joined(key=call.key, name="laptop", owner="us"))

    house.link.on_call = join
    task = house.spawn("sleep 3")
    house.report(TaskStarted, task)
    rotating = makima(house.environment, "daemon", "rotate")
    house.link.until(lambda: rotating.poll() is not None, "rotated")
    out, err = rotating.communicate()
    assert rotating.returncode == 0, err
    assert "the daemon laptop has a new key" in out
    after = house.key
    assert after != before and read_pending(house.home) is None
    assert {key for key, call in house.link.calls if isinstance(call, Join)} == {before}
    house.link.admitted.discard(before)
    house.link.until(lambda: any(k == after and isinstance(r, Hello) for k, r in house.link.reports), "Hello by it")
    house.report(TaskSucceeded, task)
    assert not [r for _, r in house.link.reports if isinstance(r, TaskInterrupted) and r.task == task.task]


def test_an_answer_that_is_lost_leaves_it_with_the_key_that_counts(house: House) -> None:
    before = house.key

    def swallow(key: str, call: Upward) -> None:
        if isinstance(call, Join) and key == before:
            house.link.admitted = {call.key}
            house.link.shut()  # the cluster has taken the key, and its answer is lost
            house.link.open()
        elif isinstance(call, Join):
            house.link.tell(key, Joined(key=call.key, name="laptop", owner="us"))

    house.link.on_call = swallow
    rotating = makima(house.environment, "daemon", "rotate")
    house.link.until(lambda: rotating.poll() is not None, "rotated", 60)
    assert rotating.returncode == 0, rotating.communicate()
    assert {house.key} == house.link.admitted
    assert house.report(TaskSucceeded, house.spawn("true"))


def test_another_key_that_is_refused_changes_nothing(house: House) -> None:
    before = house.key

    def refuse(key: str, call: Upward) -> None:
        if isinstance(call, Join):
            house.link.tell(key, NotJoined(key=call.key, reason="too many"))

    house.link.on_call = refuse
    rotating = makima(house.environment, "daemon", "rotate")
    house.link.until(lambda: rotating.poll() is not None, "answered")
    assert rotating.returncode == 1 and "refuses the new key" in rotating.communicate()[1]
    assert house.key == before and read_pending(house.home) is None
    assert house.report(TaskSucceeded, house.spawn("true"))
