"""The broker's door: without the key of a role that belongs there, a connection to a socket carries nothing."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq

from shared.bus.keys import introduce
from shared.domain.ids import new_id
from shared.messages.channels import ADMITTED, ROLES, Role
from shared.messages.commands import SpawnTask
from shared.messages.events import DaemonConnected, StepReady
from shared.messages.frames import COMMANDS, REPORTS, encode_event, header
from shared.messages.reports import Heartbeat, Hello, Identify
from tests.contract.broker.test_broker import BrokerHarness, broker, spawn

__all__ = ["broker"]

KIND = {
    "events-in": zmq.PUB,
    "events-out": zmq.SUB,
    "commands": zmq.DEALER,
    "daemons": zmq.DEALER,
    "reports": zmq.DEALER,
    "calls": zmq.DEALER,
}
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
"""Of a peer that has no security. https://rfc.zeromq.org/spec/23"""
FORGED_EVENT = StepReady(directive=new_id())
FORGED = {
    "commands": [b"commands", header("executor"), COMMANDS.encode([spawn(owner="default")])],
    "daemons": [b"reports", header("d"), REPORTS.encode([Hello(daemon="rogue", owner="me", capacity=9)])],
    "reports": [b"ready", header("monitor"), b"", b""],
    "calls": [b"ready", header("gateway"), b"", b""],
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
Introduction = Callable[[zmq.Socket[bytes], BrokerHarness], None]


def nothing(connected: zmq.Socket[bytes], broker: BrokerHarness) -> None:
    """No key at all."""


def wrong(connected: zmq.Socket[bytes], broker: BrokerHarness) -> None:  # noqa: ARG001
    connected.setsockopt(zmq.PLAIN_USERNAME, b"executor")
    connected.setsockopt(zmq.PLAIN_PASSWORD, b"0" * 64)


def as_role(role: Role) -> Introduction:
    def its_key(connected: zmq.Socket[bytes], broker: BrokerHarness) -> None:
        introduce(connected, broker.settings, role)

    return its_key


STRANGERS = {
    **{f"no key on {endpoint}": (nothing, endpoint) for endpoint in KIND},
    **{f"a wrong key on {endpoint}": (wrong, endpoint) for endpoint in KIND},
    **{
        f"the {role}'s key on {endpoint}": (as_role(role), endpoint)
        for endpoint in KIND
        for role in ROLES
        if role not in ADMITTED[endpoint]
    },
}


def test_every_endpoint_that_roles_connect_to_is_tried_here_and_the_others_elsewhere() -> None:
    assert {endpoint for endpoint, roles in ADMITTED.items() if roles} == KIND.keys()
    assert ADMITTED.keys() - KIND.keys() == {"link"}, "the link's strangers are played in test_link.py"


def logged(broker: BrokerHarness) -> str:
    return broker.log.read_text()


def test_a_stranger_gets_nothing_and_is_not_heard(broker: BrokerHarness) -> None:
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
    for one in (*watching.values(), *strangers.values()):
        one.close(linger=0)


def test_who_belongs_is_admitted_and_heard(broker: BrokerHarness) -> None:
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
            friend.disable_monitor()  # its name is that of a descriptor, which the next one may get
    broker.wait("events", DaemonConnected, daemon="rogue")
    broker.wait("d1", SpawnTask)


def test_refusals_are_counted_and_said(broker: BrokerHarness) -> None:
    def knock(introduction: Introduction) -> zmq.Socket[bytes]:
        knocking = broker.context.socket(zmq.DEALER)
        introduction(knocking, broker)
        knocking.setsockopt(zmq.LINGER, 0)
        knocking.setsockopt(zmq.RECONNECT_IVL, 1)
        knocking.connect(broker.settings.socket("commands"))
        return knocking

    first = knock(nothing)
    broker.until(lambda: True if "a peer shows no key on commands" in logged(broker) else None, "a word of it")
    first.close()
    second = knock(wrong)
    broker.until(lambda: True if "'executor' from" in logged(broker) else None, "a word of the second")
    second.close()


@pytest.mark.parametrize("gives_up", ["it", "the broker"])
def test_each_connection_without_a_key_is_counted_once_whoever_gives_up_first(
    broker: BrokerHarness, gives_up: str
) -> None:
    for number in range(1, 6):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(10)
            raw.connect(broker.settings.socket("reports").removeprefix("ipc://"))
            raw.sendall(GREETING)
            if gives_up == "the broker":
                while raw.recv(4096):
                    pass
        broker.until(lambda n=number: True if keyless(broker) == n else None, f"a count of {number}")
    broker.daemon("fence")
    assert keyless(broker) == 5


def test_a_connection_with_a_wrong_key_is_counted_once_and_not_as_one_without(broker: BrokerHarness) -> None:
    knocking = broker.context.socket(zmq.DEALER)
    wrong(knocking, broker)
    watched = knocking.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    knocking.setsockopt(zmq.RECONNECT_IVL, -1)
    knocking.connect(broker.settings.socket("commands"))
    assert watched.poll(10_000), "it is cut off once the time for a handshake is over"
    broker.daemon("fence")
    assert "shows a wrong key on commands" in logged(broker)
    assert keyless(broker) == 0
    for one in (watched, knocking):
        one.close(linger=0)


def keyless(broker: BrokerHarness) -> int:
    """How many connections without a key are logged."""
    return logged(broker).count("a peer shows no key")


def test_a_key_that_is_put_right_lets_its_client_in_at_its_next_try(tmp_path: Path) -> None:
    broker = BrokerHarness(tmp_path)
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


def test_who_was_admitted_is_again_by_a_broker_that_is_started_anew(broker: BrokerHarness) -> None:
    daemon = broker.daemon("d1")
    broker.process.kill()
    broker.process.wait()
    broker.start()
    broker.report(daemon, Heartbeat(daemon="d1"))
    broker.wait("d1", Identify)
