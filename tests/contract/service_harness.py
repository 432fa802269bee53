"""One real service process, a real Postgres, and real sockets that the test answers in the broker's place.

    SERVICE = "planner"                                  # what the module's `theatre` starts

    def test_a_request_becomes_one_plan_task(stage: ServiceHarness) -> None:
        directive = stage.rows.directive()
        stage.rows.plan_request(directive)
        stage.publish(PlanRequested(directive=directive))
        assert stage.await_event(TaskCreated, directive=directive).kind == "plan"

Nothing here sleeps for a while and hopes: `await_*` waits for a condition, up to a deadline. That something does *not*
happen is shown by a fence: cause something later that the same process handles in order, and await that.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, get_args

import zmq

from shared.config import load
from shared.config.home import make_home
from shared.messages.commands import AnyCommand, AnyReply
from shared.messages.events import AnyEvent, Event
from shared.messages.frames import (
    COMMANDS,
    DOWNWARD,
    REPLIES,
    REPORT_REPLIES,
    REPORTS,
    UPWARD,
    decode_events,
    encode_event,
    header,
)
from shared.messages.link import Downward, Upward
from shared.messages.reports import AnyReport, AnyReportReply
from shared.messages.topics import prefixes
from shared.messages.topics import topic as topic_of
from tests import forked
from tests.broker_authenticator import authenticator, guarded
from tests.contract import ledger
from tests.contract.rows import Rows
from tests.postgres import Postgres

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 30.0
UNHURRIED = {"sweep_seconds": "3600"}
"""Nothing under test may need a sweep; a module's SETTINGS may say otherwise."""

M = TypeVar("M")
T = TypeVar("T")


class ServiceHarness:
    """What the service under test sees of the world, and what the test sees of the service."""

    def __init__(self, server: Postgres, folder: Path, service: str, **settings: str) -> None:
        self.service = service
        self.database = server.fresh()
        self.connection = server.connect(self.database)
        self.rows = Rows(self.connection)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("MAKIMA_")},
            "PYTHONPATH": str(ROOT),
            "MAKIMA_HOME": str(folder),
            "MAKIMA_POSTGRES_URL": server.url(self.database),
            **{f"MAKIMA_{k.upper()}": v for k, v in {**UNHURRIED, **settings}.items()},
        }
        self.settings = load(self.environment)
        make_home(self.settings.home)
        self.settings.run_folder().mkdir(exist_ok=True)
        self.events: list[AnyEvent] = []
        self.commands: list[AnyCommand] = []
        self.acks: list[tuple[str, AnyReportReply]] = []
        self.answers: list[tuple[str, Downward]] = []
        """What the gateway sent down the link, and to whom."""
        self._subscriptions: Counter[bytes] = Counter()
        self.headers: list[bytes] = []
        self._peers: dict[str, bytes] = {}
        self._log = folder / f"{service}.log"
        self._processes: list[forked.Process] = []
        self._context = zmq.Context()
        self._door = authenticator(self._context, self.settings)
        self._events_in = self._bind(zmq.XSUB, "events-in")
        self._events_out = self._bind(zmq.XPUB, "events-out")
        self._commands = self._bind(zmq.ROUTER, "commands")
        self._reports = self._bind(zmq.ROUTER, "reports")
        self._calls = self._bind(zmq.ROUTER, "calls")
        self._events_out.setsockopt(zmq.XPUB_VERBOSE, 1)  # let us see every subscription, not only the first
        self._events_in.send(b"\x01")  # all events, of whoever connects
        self._connected = self._events_in.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._poller = zmq.Poller()
        for bound in (self._events_in, self._events_out, self._commands, self._reports, self._calls):
            self._poller.register(bound, zmq.POLLIN)
        ledger.install(self.connection)

    def __enter__(self) -> ServiceHarness:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self._events_in.disable_monitor()
        self._door.stop()
        self._context.destroy(linger=0)
        self.connection.close()

    def _bind(self, kind: int, name: str) -> zmq.Socket[bytes]:
        bound = guarded(self._context.socket(kind), name)
        bound.setsockopt(zmq.LINGER, 0)
        if kind == zmq.ROUTER:
            bound.setsockopt(zmq.ROUTER_MANDATORY, 1)
        bound.bind(self.settings.socket(name))
        return bound

    # -- the process ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start one more process of the service; return when it is ready, and the first one hears and is heard."""
        consumes = ledger.consumes(self.service)
        watches = set(consumes) >= set(get_args(AnyEvent))  # on behalf of who asks, so it subscribes only then
        topics = [] if watches else prefixes(consumes)
        wanted = self._subscriptions + Counter(b"\x01" + topic.encode() for topic in topics)
        self._processes.append(forked.start(f"services.{self.service}", self.environment, self._log))
        if len(self._processes) > 1 and not watches:
            return  # it stands by
        self.until(lambda: self._subscriptions >= wanted, f"subscriptions to {sorted(wanted)}")
        self.until(lambda: self._connected.poll(0), "connection to publish on")
        self._connected.recv_multipart()

    def stop(self) -> int:
        """Ask the processes to end; the worst exit code."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(DEADLINE_SECONDS) for process in self._processes]
        self._forget_processes()
        return max(codes, key=abs)

    def stall_leader(self) -> forked.Process:
        """The first process does nothing any more; it still counts as alive."""
        leader = self._processes[0]
        leader.send_signal(signal.SIGSTOP)
        return leader

    def kill_leader(self) -> None:
        """End the first process as a crash does."""
        leader = self._processes.pop(0)
        leader.kill()
        leader.wait()

    def kill(self) -> None:
        """End the processes as a crash does."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._forget_processes()

    def _forget_processes(self) -> None:
        self._processes.clear()
        self._peers.clear()

    @property
    def alive(self) -> bool:
        """Whether every process started still runs."""
        return all(process.poll() is None for process in self._processes)

    @property
    def pid(self) -> int:
        """The first process."""
        return self._processes[0].pid

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The processes do nothing for as long as the block takes: what it sends waits, and is met all at once."""
        for process in self._processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.connection.commit()
            for process in self._processes:
                process.send_signal(signal.SIGCONT)

    def logged(self) -> list[dict[str, Any]]:
        """What the service logged so far."""
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]

    def sweep(self) -> None:
        """Forget all that was seen, and empty the tables of the work before."""
        self.turn()
        for seen in (self.events, self.commands, self.acks, self.answers, self.headers):
            seen.clear()
        ledger.sweep(self.connection)

    # -- sending --------------------------------------------------------------------------------------------------

    def publish(self, *events: Event) -> None:
        """Events, as another service's, of topics that the service subscribes to."""
        self.connection.commit()
        for event in events:
            assert self.hears(event) or not self._processes, f"{self.service} doesn't hear {topic_of(event)}"
            self._events_out.send_multipart(encode_event(event, "test"))

    def hears(self, event: Event) -> bool:
        """Whether the service subscribes to what this event is published under."""
        subscribed = tuple(subscription[1:] for subscription in self._subscriptions)
        return topic_of(event).encode().startswith(subscribed)

    def subscribed(self, event: Event) -> int:
        """How often the service has subscribed to this event by name so far."""
        return self._subscriptions[b"\x01" + topic_of(event).encode()]

    def publish_raw(self, *frames: Sequence[bytes]) -> None:
        """Frames that may be anything, on the socket for events."""
        self.connection.commit()
        for frame in frames:
            self._events_out.send_multipart(frame)

    def reply(self, *replies: AnyReply) -> None:
        """The broker's replies to commands, to the executor."""
        self.reply_raw([b"replies", header("test"), REPLIES.encode(replies)])

    def reply_raw(self, *frames: Sequence[bytes]) -> None:
        """Frames that may be anything, to who sends commands."""
        self.connection.commit()
        peer = self._peer("commands")
        for frame in frames:
            self._commands.send_multipart([peer, *frame])

    def report(self, *reports: AnyReport, daemon: str = "d1") -> None:
        """Reports of a daemon, as one message to the monitor."""
        self.report_raw([b"reports", header(f"daemon/{daemon}"), daemon.encode(), REPORTS.encode(reports)])

    def report_raw(self, *frames: Sequence[bytes]) -> None:
        """Frames that may be anything, to the monitor."""
        self.connection.commit()
        peer = self._peer("reports")
        for frame in frames:
            self._reports.send_multipart([peer, *frame])

    def call(self, who: str, *calls: Upward) -> None:
        """What somebody on the link says, to the gateway."""
        self.call_raw([b"link", header("test"), who.encode(), UPWARD.encode(calls)])

    def call_raw(self, *frames: Sequence[bytes]) -> None:
        """Frames that may be anything, to the gateway."""
        self.connection.commit()
        for frame in frames:
            self.until(lambda frame=frame: self._has_called(frame), "a gateway on calls")  # type: ignore[misc]

    def _has_called(self, frame: Sequence[bytes]) -> bool:
        """Send a frame to the gateway; False where that is one that died."""
        try:
            self._calls.send_multipart([self._peer("calls"), *frame])
        except zmq.ZMQError:
            del self._peers["calls"]
            return False
        return True

    def _peer(self, socket: str) -> bytes:
        self.until(lambda: socket in self._peers, f"a word of the service on {socket}")
        return self._peers[socket]

    # -- waiting --------------------------------------------------------------------------------------------------

    def await_event(self, kind: type[M], **fields: object) -> M:
        """The first event of this type with these fields since the sweep."""
        return self._first(lambda: self.events, kind, fields)

    def await_command(self, kind: type[M], **fields: object) -> M:
        """The first command of this type with these fields since the sweep."""
        return self._first(lambda: self.commands, kind, fields)

    def await_ack(self, kind: type[M], daemon: str = "d1", **fields: object) -> M:
        """The first reply to this daemon of this type with these fields since the sweep."""
        return self._first(lambda: [reply for d, reply in self.acks if d == daemon], kind, fields)

    def await_answer(self, kind: type[M], who: str = "daemon:d1", **fields: object) -> M:
        """The first answer down the link to somebody of this type with these fields since the sweep."""
        return self._first(lambda: [answer for to, answer in self.answers if to == who], kind, fields)

    def await_acknowledged(self, seq: int, daemon: str = "d1") -> None:
        """Wait until the monitor has acknowledged this report."""
        self.until(lambda: seq in self.acknowledged(daemon), f"an acknowledgement of {seq}")

    def acknowledged(self, daemon: str = "d1") -> list[int]:
        """The numbers that were acknowledged to a daemon, in order of arrival, doubles too."""
        return [seq for d, reply in self.acks if d == daemon for seq in getattr(reply, "seqs", ())]

    def await_row(self, table: str, **columns: object) -> dict[str, Any]:
        """The first row that has these values."""
        self.until(lambda: self.rows.all(table, **columns), f"a row of {table} with {columns}")
        return self.rows.all(table, **columns)[0]

    def await_log(self, event: str) -> dict[str, Any]:
        """The first log line of this event, of the process's whole life."""
        self.until(lambda: [line for line in self.logged() if line["event"] == event], f"a log line {event!r}")
        return next(line for line in self.logged() if line["event"] == event)

    def until(self, condition: Callable[[], T], what: str) -> T:
        """Take in what the service says until a condition holds; its value. Fails after DEADLINE_SECONDS."""
        self.connection.commit()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (value := condition()):
            if not self.alive:
                raise AssertionError(f"{self.service} has ended:\n{self._log.read_text()[-3000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"no {what} within {DEADLINE_SECONDS:.0f} s; seen: {self.events} {self.commands} {self.acks}\n"
                    f"{self._log.read_text()[-3000:]}"
                )
            self.turn(10)
        return value

    def _first(self, seen: Callable[[], Iterable[object]], kind: type[M], fields: dict[str, object]) -> M:
        def found() -> M | None:
            return next((m for m in seen() if isinstance(m, kind) and has(m, fields)), None)

        self.until(lambda: found() is not None, f"{kind.__name__} with {fields}")
        message = found()
        assert message is not None
        return message

    def turn(self, milliseconds: int = 0) -> None:
        """Take in what the service has said."""
        while ready := dict(self._poller.poll(milliseconds)):
            milliseconds = 0
            for bound in ready:
                self._take(bound, bound.recv_multipart())

    def _take(self, bound: zmq.Socket[bytes], parts: list[bytes]) -> None:
        if bound is self._events_out:
            self._subscriptions[parts[0]] += 1
        elif bound is self._events_in:
            events = decode_events(parts)
            topics = {topic_of(event).encode() for event in events}
            assert topics == {parts[0]}, "a topic is its events'"
            self.headers.append(parts[1])
            self.events += events
        elif bound is self._commands:
            sender, topic, head, body = parts
            assert topic == b"commands"
            self._peers["commands"] = sender
            self.headers.append(head)
            self.commands += COMMANDS.decode(body)
        elif bound is self._calls:
            sender, topic, head, who, body = parts
            self._peers["calls"] = sender
            if topic == b"link":
                self.headers.append(head)
                self.answers += [(who.decode(), answer) for answer in DOWNWARD.decode(body)]
        else:
            sender, topic, head, daemon, body = parts
            self._peers["reports"] = sender
            if topic == b"ready":
                return
            assert topic == b"acks"
            self.headers.append(head)
            self.acks += [(daemon.decode(), reply) for reply in REPORT_REPLIES.decode(body)]


def has(message: object, fields: dict[str, object]) -> bool:
    """Whether a message has these values."""
    return all(getattr(message, name) == value for name, value in fields.items())
