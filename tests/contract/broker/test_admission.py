"""The broker's door: without the key of a role that belongs there, a connection to a socket carries nothing."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import zmq

from shared.bus.keys import introduce
from shared.domain.ids import new_id
from shared.messages.channels import ADMITTED, ROLES, Role
from shared.messages.commands import SpawnTask
from shared.messages.events import DaemonConnected, StepReady
from shared.messages.frames import COMMANDS, REPORTS, encode_event, header
from shared.messages.reports import Heartbeat, Hello, Identify
from tests.contract.broker.test_broker import Surround, broker, spawn

__all__ = ["broker"]

KIND = {
    "events-in": zmq.PUB,
    "events-out": zmq.SUB,
    "commands": zmq.DEALER,
    "daemons": zmq.DEALER,
    "reports": zmq.DEALER,
}
FORGED_EVENT = StepReady(directive=new_id())
FORGED = {
    "commands": [b"commands", header("executor"), COMMANDS.encode([spawn(owner="default")])],
    "daemons": [b"reports", header("d"), REPORTS.encode([Hello(daemon="rogue", owner="me", capacity=9)])],
    "reports": [b"ready", header("monitor"), b"", b""],
    "events-in": encode_event(FORGED_EVENT, "test"),
    "events-out": None,
}
OUTCOMES = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_DISCONNECTED
)
Introduction = Callable[[zmq.Socket[bytes], Surround], None]


def nothing(connected: zmq.Socket[bytes], broker: Surround) -> None:
    """No key at all."""


def wrong(connected: zmq.Socket[bytes], broker: Surround) -> None:  # noqa: ARG001
    connected.setsockopt(zmq.PLAIN_USERNAME, b"executor")
    connected.setsockopt(zmq.PLAIN_PASSWORD, b"0" * 64)


def as_role(role: Role) -> Introduction:
    def its_key(connected: zmq.Socket[bytes], broker: Surround) -> None:
        introduce(connected, broker.settings, role)

    return its_key


STRANGERS = {
    **{f"no key on {endpoint}": (nothing, endpoint) for endpoint in ADMITTED},
    **{f"a wrong key on {endpoint}": (wrong, endpoint) for endpoint in ADMITTED},
    **{
        f"the {role}'s key on {endpoint}": (as_role(role), endpoint)
        for endpoint, admitted in ADMITTED.items()
        for role in ROLES
        if role not in admitted
    },
}


def logged(broker: Surround) -> str:
    return broker.log.read_text()


def test_a_stranger_gets_nothing_and_is_not_heard(broker: Surround) -> None:
    """It is refused once its connection is ended during the handshake, with what it wanted to send still queued."""
    broker.daemon("d1")
    strangers = {name: broker.context.socket(KIND[endpoint]) for name, (_, endpoint) in STRANGERS.items()}
    watching = {}
    for name, (introduction, endpoint) in STRANGERS.items():
        stranger = strangers[name]
        introduction(stranger, broker)
        stranger.setsockopt(zmq.IDENTITY, b"rogue")
        if KIND[endpoint] == zmq.SUB:
            stranger.subscribe(b"")
        watching[name] = stranger.get_monitor_socket(OUTCOMES)
        stranger.connect(broker.settings.socket(endpoint))
        if (forged := FORGED[endpoint]) is not None:
            stranger.send_multipart(forged)
    for name, watched in watching.items():
        assert watched.poll(10_000), f"{name} is neither admitted nor refused"
        (event, _), _ = struct.unpack("=HI", watched.recv()), watched.recv()
        assert event != zmq.EVENT_HANDSHAKE_SUCCEEDED, name
    fence = StepReady(directive=new_id())
    broker.publisher.send_multipart(encode_event(fence, "test"))
    broker.wait("events", StepReady, directive=fence.directive)
    assert [name for name, stranger in strangers.items() if stranger.poll(0, zmq.POLLIN)] == []
    assert not any(getattr(m, "daemon", "") == "rogue" for m in broker.seen["events"])
    assert FORGED_EVENT not in broker.seen["events"]
    assert not any(isinstance(m, SpawnTask) for m in broker.seen["d1"])
    for socket in (*watching.values(), *strangers.values()):
        socket.close(linger=0)


def test_who_belongs_is_admitted_and_heard(broker: Surround) -> None:
    """The same as the strangers say, with the keys for it: else their silence would show nothing."""
    broker.daemon("d1", owner="default")
    for endpoint, admitted in ADMITTED.items():
        for role in admitted:
            friend = broker.context.socket(KIND[endpoint])
            introduce(friend, broker.settings, role)
            friend.setsockopt(zmq.LINGER, 1000)
            friend.setsockopt(zmq.IDENTITY, f"{role}-{endpoint}".encode())
            watched = friend.get_monitor_socket(OUTCOMES)
            friend.connect(broker.settings.socket(endpoint))
            assert watched.poll(10_000), f"the {role} waits for {endpoint}"
            (event, _), _ = struct.unpack("=HI", watched.recv()), watched.recv()
            assert event == zmq.EVENT_HANDSHAKE_SUCCEEDED, f"the {role} on {endpoint}"
            if (forged := FORGED[endpoint]) is not None:
                friend.send_multipart(forged)
            watched.close(linger=0)
    broker.wait("events", DaemonConnected, daemon="rogue")
    broker.wait("d1", SpawnTask)


def test_refusals_are_counted_and_said(broker: Surround) -> None:
    def knock(introduction: Introduction) -> zmq.Socket[bytes]:
        knocking = broker.context.socket(zmq.DEALER)
        introduction(knocking, broker)
        knocking.setsockopt(zmq.LINGER, 0)
        knocking.setsockopt(zmq.RECONNECT_IVL, 1)
        knocking.connect(broker.settings.socket("commands"))
        return knocking

    keyless = [knock(nothing)]  # one that gives up first, as either side may, is not counted
    word = "a peer shows no key"
    broker.until(
        lambda: True if word in logged(broker) else None, "a word of it", lambda: keyless.append(knock(nothing))
    )
    second = knock(wrong)
    broker.until(lambda: True if "'executor' from" in logged(broker) else None, "a word of the second")
    assert logged(broker).count("connection refused") >= 2
    for knocking in (*keyless, second):
        knocking.close()


def test_a_key_that_is_put_right_lets_its_client_in_at_its_next_try(tmp_path: Path) -> None:
    broker = Surround(tmp_path)
    key = broker.settings.run_folder() / "keys" / "daemon"
    key.write_bytes(bytes(32))
    daemon = broker.connect(zmq.DEALER, "daemons", "d2", b"d2")
    broker.until(lambda: True if "shows a wrong key on daemons" in logged(broker) else None, "the refusal")
    broker.process.kill()
    broker.process.wait()
    broker.start()  # with the key that the daemon shows
    broker.report(daemon, Heartbeat(daemon="d2"))
    broker.wait("d2", Identify)
    broker.close()


def test_who_was_admitted_is_again_by_a_broker_that_is_started_anew(broker: Surround) -> None:
    daemon = broker.daemon("d1")
    broker.process.kill()
    broker.process.wait()
    broker.start()
    broker.report(daemon, Heartbeat(daemon="d1"))
    broker.wait("d1", Identify)
