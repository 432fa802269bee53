"""A broker's link, played: a ROUTER over TCP that speaks CURVE, and admits the keys that a test names."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

import zmq

from services.broker.admission import ENDPOINT, KEY_OF, LINK, Admission
from shared.bus.link import key_pair
from shared.messages.frames import COMMANDS, DOWNWARD, REPORT_REPLIES, REPORTS, UPWARD, header
from shared.messages.link import Downward, Upward
from shared.messages.reports import Ack, AnyReport, AnyReportReply, Goodbye, Heartbeat, Hello
from tests.conftest import free_port
from tests.waiting import until

ROOT = Path(__file__).parents[1]
DEADLINE_SECONDS = 30.0
M = TypeVar("M")


class PlayedLink:
    """What the daemon under test meets at the other end."""

    def __init__(self) -> None:
        self.keys = key_pair()
        self.admitted: set[str] = set()
        self.address = f"127.0.0.1:{free_port()}"
        self.calls: list[tuple[str, Upward]] = []
        """What came under the topic `link`, with the key that it came by."""
        self.reports: list[tuple[str, AnyReport]] = []
        self.ways: dict[str, bytes] = {}
        """The newest identity by key."""
        self.on_call: Callable[[str, Upward], None] = lambda _key, _call: None
        self._context = zmq.Context()
        self._over = threading.Event()
        self._door = threading.Thread(target=self._admit)
        self._door_ready = threading.Event()
        self._door.start()
        self._door_ready.wait()
        self.open()

    def open(self) -> None:
        """Listen."""
        self._router = self._context.socket(zmq.ROUTER)
        self._router.setsockopt(zmq.LINGER, 0)
        self._router.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._router.setsockopt(zmq.HANDSHAKE_IVL, 500)
        self._router.setsockopt(zmq.CURVE_SERVER, 1)
        self._router.setsockopt(zmq.CURVE_SECRETKEY, self.keys.secret.encode())
        self._router.setsockopt(zmq.ZAP_DOMAIN, LINK.encode())
        until(self._bind, lambda: f"{self.address} is free")

    def _bind(self) -> bool:
        with suppress(zmq.ZMQError):  # ZeroMQ lets go of what was closed in its own time
            self._router.bind(f"tcp://{self.address}")
            return True
        return False

    def shut(self) -> None:
        """Listen no more: every connection ends."""
        self._router.close()
        self.ways.clear()

    def close(self) -> None:
        self._router.close()
        self._over.set()
        self._door.join()
        self._context.destroy(linger=0)

    def _admit(self) -> None:
        admission = Admission({}, lambda key: "somebody" if key in self.admitted else None)
        requests = self._context.socket(zmq.REP)
        requests.bind(ENDPOINT)
        self._door_ready.set()
        while not self._over.is_set():
            if requests.poll(50):
                requests.send_multipart(admission.answer(requests.recv_multipart()))
        requests.close(linger=0)

    def tell(self, key: str, *messages: Downward) -> None:
        """Under the topic `link`, to whoever came by this key last."""
        self._router.send_multipart([self.ways[key], b"link", header("test"), DOWNWARD.encode(messages)])

    def command(self, key: str, *commands: object) -> None:
        self._router.send_multipart([self.ways[key], b"commands", header("test"), COMMANDS.encode(commands)])  # type: ignore[arg-type]

    def reply(self, key: str, *replies: AnyReportReply) -> None:
        self._router.send_multipart([self.ways[key], b"acks", header("test"), REPORT_REPLIES.encode(replies)])

    def receive(self, seconds: float) -> None:
        """Take in what comes next."""
        if not self._router.poll(int(seconds * 1000) + 1):
            return
        parts = self._router.recv_multipart(copy=False)
        key = str(parts[-1].get(KEY_OF))
        way, topic, _, body = (bytes(part) for part in parts)
        self.ways[key] = way
        if topic == b"link":
            for call in UPWARD.decode(body):
                self.calls.append((key, call))
                self.on_call(key, call)
            return
        assert topic == b"reports"
        reports = REPORTS.decode(body)
        self.reports += [(key, report) for report in reports]
        if seqs := tuple(r.seq for r in reports if not isinstance(r, Hello | Heartbeat | Goodbye)):
            self.reply(key, Ack(seqs=seqs))

    def until(self, condition: Callable[[], object], what: str, seconds: float = DEADLINE_SECONDS) -> None:
        """Go on receiving until something is so."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}; seen {self.calls[-9:]}"
            self.receive(0.05)

    def call(self, kind: type[M], by: str | None = None) -> M:
        """The first call of this type, by this key, of those that have come and those to come."""
        found: list[M] = []

        def come() -> bool:
            found.extend(c for k, c in self.calls if isinstance(c, kind) and by in (None, k))
            return bool(found)

        self.until(come, kind.__name__)
        return found[0]


def makima(environment: dict[str, str], *arguments: str, stdin: IO[str] | None = None) -> subprocess.Popen[str]:
    """A command, begun."""
    return subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), **environment},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
