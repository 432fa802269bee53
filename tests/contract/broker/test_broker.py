"""The broker: events are proxied, commands routed, reports handed on and acknowledged; and nothing is kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
import zmq

from shared.bus.keys import introduce
from shared.config import load
from shared.domain.ids import new_id
from shared.messages.channels import ADMITTED, Role
from shared.messages.commands import CancelTask, SpawnTask, Unroutable
from shared.messages.events import DaemonConnected, DaemonLost, StepReady, TaskOutput
from shared.messages.frames import (
    COMMANDS,
    REPLIES,
    REPORT_REPLIES,
    REPORTS,
    FrameUnreadable,
    decode_event,
    encode_event,
    header,
)
from shared.messages.reports import (
    Ack,
    AnyReport,
    Goodbye,
    Heartbeat,
    Hello,
    Identify,
    OutputBatch,
    Running,
    TaskAccepted,
    TaskSucceeded,
)
from tests import forked
from tests.contract.frames import unreadable_batches
from tests.contract.ledger import emits
from tests.contract.service_harness import DEADLINE_SECONDS, ROOT, has

M = TypeVar("M")


class BrokerHarness:
    """A broker process, and a socket of each kind that connects to it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MAKIMA_")}
        named = {f"MAKIMA_{key.upper()}": value for key, value in settings.items()}
        self.environment = {**kept, "PYTHONPATH": str(ROOT), "MAKIMA_HOME": str(folder), **named}
        self.settings = load(self.environment)
        self.context = zmq.Context()
        self.log = folder / "broker.log"
        self.seen: dict[str, list[object]] = {}
        self.poller = zmq.Poller()
        self.names: dict[zmq.Socket[bytes], str] = {}
        self.start()
        self.publisher = self.connect(zmq.PUB, "events-in", "publisher")
        self.subscriber = self.connect(zmq.SUB, "events-out", "events")
        self.subscriber.subscribe(b"")
        self.executor = self.connect(zmq.DEALER, "commands", "replies")
        self.monitor = self.connect(zmq.DEALER, "reports", "reports")
        self.monitor.send_multipart([b"ready", header("monitor"), b"", b""])
        # PUB and SUB have found each other once an event of our own comes round.
        here = StepReady(directive=new_id())
        self.until(
            lambda: True if here in self.seen["events"] else None,
            "event of our own",
            nudge=lambda: self.publisher.send_multipart(encode_event(here, "test")),
        )

    def start(self) -> None:
        self.process = forked.start("services.broker", self.environment, self.log)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.context.destroy(linger=0)

    def connect(
        self, kind: int, endpoint: str, name: str, identity: bytes | None = None, role: Role | None = None
    ) -> zmq.Socket[bytes]:
        """A socket at an endpoint, with the key of this role; of one that may connect there when none is given."""
        connected = self.context.socket(kind)
        introduce(connected, self.settings, role or min(ADMITTED[endpoint]))
        if identity:
            connected.setsockopt(zmq.IDENTITY, identity)
        connected.connect(self.settings.socket(endpoint))
        self.names[connected] = name
        self.seen.setdefault(name, [])
        if kind != zmq.PUB:
            self.poller.register(connected, zmq.POLLIN)
        return connected

    def daemon(self, name: str, **hello: object) -> zmq.Socket[bytes]:
        """A daemon that has said Hello and been noticed."""
        connected = self.connect(zmq.DEALER, "daemons", name, name.encode())
        values = {"daemon": name, "owner": "me", "capacity": 2, "agents": ("shell",), **hello}
        self.report(connected, Hello(**values))  # type: ignore[arg-type]
        self.wait("events", DaemonConnected, daemon=name)
        return connected

    def report(self, daemon: zmq.Socket[bytes], *reports: AnyReport) -> None:
        daemon.send_multipart([b"reports", header("d"), REPORTS.encode(reports)])

    def command(self, *commands: SpawnTask | CancelTask) -> None:
        self.executor.send_multipart([b"commands", header("executor"), COMMANDS.encode(commands)])

    def wait(self, name: str, kind: type[M], **fields: object) -> M:
        """The first message of this kind at this socket."""
        return self.until(
            lambda: next((m for m in self.seen[name] if isinstance(m, kind) and has(m, fields)), None),
            f"{kind.__name__} {fields}",
        )

    def until(self, condition: Callable[[], M | None], what: str, nudge: Callable[[], None] = lambda: None) -> M:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (found := condition()) is None:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, f"no {what}; seen {self.seen}"
            nudge()
            for ready, _ in self.poller.poll(20):
                self._take(self.names[ready], ready.recv_multipart())  # type: ignore[index]
        return found

    def _take(self, name: str, parts: list[bytes]) -> None:
        taken: list[object] = self.seen[name]
        if name == "events":
            with suppress(FrameUnreadable):  # the proxy reads nothing: what can't be read is for subscribers to skip
                taken.append(decode_event(parts))
        elif name == "replies":
            taken += REPLIES.decode(parts[2])
        elif name == "reports":
            taken += [(parts[2].decode(), report) for report in REPORTS.decode(parts[3])]
        elif parts[0] == b"commands":
            taken += COMMANDS.decode(parts[2])
        else:
            with suppress(FrameUnreadable):  # nor does the broker read acknowledgements: that is for daemons
                taken += REPORT_REPLIES.decode(parts[2])

    def heard(self, daemon: str, report: AnyReport) -> None:
        """Wait until the monitor has this report of this daemon."""
        self.until(lambda: True if (daemon, report) in self.seen["reports"] else None, f"{report} of {daemon}")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerHarness]:
    harness = BrokerHarness(tmp_path)
    yield harness
    assert {type(e) for e in harness.seen["events"]} - {StepReady} <= emits("broker")
    harness.close()


def spawn(**more: object) -> SpawnTask:
    values = {"task": new_id(), "attempt": 1, "owner": "me", "directive": new_id(), "kind": "step", "name": "x", **more}
    return SpawnTask(**values)  # type: ignore[arg-type]


def test_an_event_reaches_every_subscriber_as_it_was_sent(broker: BrokerHarness) -> None:
    event = StepReady(directive=new_id(), steps=(new_id(),))
    broker.publisher.send_multipart(encode_event(event, "monitor"))
    assert broker.wait("events", StepReady, directive=event.directive) == event


def test_a_spawn_goes_to_a_daemon_of_its_owner_that_has_the_agent_and_the_labels(broker: BrokerHarness) -> None:
    broker.daemon("foreign", owner="you")
    broker.daemon("plain")
    broker.daemon("able", agents=("claude",), labels=("gpu",))
    command = spawn(agent="claude", labels=("gpu",))
    broker.command(command)
    assert broker.wait("able", SpawnTask) == command


def test_a_command_doubled_goes_to_the_daemon_that_has_it(broker: BrokerHarness) -> None:
    broker.daemon("a", capacity=5)
    broker.daemon("b", capacity=5)
    command = spawn()
    broker.command(command)
    first = broker.until(lambda: next((d for d in ("a", "b") if broker.seen[d]), None), "the command")
    broker.command(command, command)
    broker.until(lambda: True if len(broker.seen[first]) == 3 else None, "the command three times")
    broker.command(CancelTask(task=command.task, attempt=1, owner="me", reason="no"))
    broker.wait(first, CancelTask, task=command.task)


@pytest.mark.parametrize(
    ("hello", "more", "kind", "why"),
    [
        (None, {}, "no_daemon", "no daemon of this owner is connected"),
        ({"owner": "you"}, {}, "no_daemon", "no daemon of this owner is connected"),
        ({}, {"labels": ("gpu",)}, "labels", "no connected daemon has the label gpu"),
        ({"labels": ("mac",)}, {"labels": ("mac", "gpu", "arm")}, "labels", "has the labels arm, gpu"),
        ({}, {"agent": "claude"}, "agent", "no connected daemon has the agent claude"),
        ({"capacity": 1, "running": (Running(task=new_id(), attempt=1),)}, {}, "slots", "1 of 1 slots taken"),
        ({"draining": True}, {}, "draining", "draining"),
    ],
)
def test_what_no_daemon_can_take_is_unroutable_in_words(
    broker: BrokerHarness, hello: dict[str, object] | None, more: dict[str, object], kind: str, why: str
) -> None:
    if hello is not None:
        broker.daemon("d1", **hello)
    command = spawn(**more)
    broker.command(command)
    told = broker.wait("replies", Unroutable, task=command.task, attempt=1)
    assert told.refusal == kind
    assert why in told.reason


def test_a_cancel_of_what_nobody_runs_is_unroutable(broker: BrokerHarness) -> None:
    broker.daemon("d1")
    broker.command(CancelTask(task=new_id(), attempt=1, owner="me"))
    assert broker.wait("replies", Unroutable).reason == "no connected daemon runs it"


def test_reports_reach_a_monitor_and_its_acknowledgements_their_daemon(broker: BrokerHarness) -> None:
    daemon = broker.daemon("d1")
    report = TaskAccepted(seq=7, task=new_id(), attempt=1)
    broker.report(daemon, report)
    broker.heard("d1", report)
    body = REPORT_REPLIES.encode([Ack(seqs=(7,))])
    broker.monitor.send_multipart([b"acks", header("monitor"), b"d1", body])
    broker.wait("d1", Ack, seqs=(7,))


def test_an_end_frees_the_slot_for_the_next(broker: BrokerHarness) -> None:
    daemon = broker.daemon("d1", capacity=1)
    first, second = spawn(), spawn()
    broker.command(first)
    broker.wait("d1", SpawnTask, task=first.task)
    broker.command(second)
    broker.wait("replies", Unroutable, task=second.task)
    broker.report(daemon, TaskSucceeded(seq=1, task=first.task, attempt=1))
    broker.heard("d1", TaskSucceeded(seq=1, task=first.task, attempt=1))
    broker.command(second)
    broker.wait("d1", SpawnTask, task=second.task)


def test_output_is_shown_as_it_passes(broker: BrokerHarness) -> None:
    daemon = broker.daemon("d1")
    batch = OutputBatch(seq=1, task=new_id(), attempt=1, directive=new_id(), first=3, lines=("a", "b"))
    broker.report(daemon, batch)
    shown = broker.wait("events", TaskOutput, directive=batch.directive)
    assert (shown.task, shown.first, shown.lines) == (batch.task, 3, ("a", "b"))
    broker.heard("d1", batch)


def test_a_goodbye_loses_the_daemon(broker: BrokerHarness) -> None:
    leaving = broker.daemon("leaving")
    broker.report(leaving, Goodbye(daemon="leaving", owner="me"))
    broker.wait("events", DaemonLost, daemon="leaving")


def test_a_silence_loses_the_daemon_and_a_monitor_is_told(tmp_path: Path) -> None:
    broker = BrokerHarness(tmp_path, lost_seconds="0.5")
    broker.daemon("silent")
    broker.wait("events", DaemonLost, daemon="silent")
    broker.heard("silent", Goodbye(daemon="silent", owner="me"))
    broker.close()


def test_a_daemon_that_a_new_broker_does_not_know_is_asked_who_it_is(broker: BrokerHarness) -> None:
    stranger = broker.connect(zmq.DEALER, "daemons", "stranger", b"stranger")
    broker.report(stranger, Heartbeat(daemon="stranger"))
    broker.wait("stranger", Identify)


def test_frames_that_cannot_be_read_are_skipped_on_every_socket(broker: BrokerHarness) -> None:
    daemon = broker.daemon("d1")
    for frame in unreadable_batches(b"commands", COMMANDS.encode([])):
        broker.executor.send_multipart(frame)
    for frame in unreadable_batches(b"reports", REPORTS.encode([])):
        daemon.send_multipart(frame)
    for frame in unreadable_batches(b"acks", REPORT_REPLIES.encode([]), b"d1"):
        broker.monitor.send_multipart(frame)
    broker.monitor.send_multipart([b"acks", header("m"), b"nobody", REPORT_REPLIES.encode([])])
    for frame in ([b"step.ready/"], [b""], [b"x", b"y"]):
        broker.publisher.send_multipart(frame)
    body = msgspec.msgpack.encode([{"type": "FromTheFuture"}, spawn()])
    broker.executor.send_multipart([b"commands", header("executor"), body])
    broker.until(lambda: next((m for m in broker.seen["d1"] if isinstance(m, SpawnTask)), None), "the known one")
    assert "message skipped" in broker.log.read_text()
