"""The broker and what arrives at the edge of what numbers and texts can be: it routes on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ids import new_id
from shared.messages import channels
from shared.messages.commands import SpawnTask
from shared.messages.events import StepReady
from shared.messages.frames import COMMANDS, encode_event, header
from tests.contract.broker.test_broker import BrokerHarness, broker, spawn
from tests.contract.extremes import THOROUGH, packed, wild

__all__ = ["broker"]


@THOROUGH
@given(data=st.data())
def test_nothing_that_anybody_says_stops_it(broker: BrokerHarness, data: st.DataObject) -> None:
    name = f"d-{new_id()}"
    daemon = broker.daemon(name, owner=name)
    commands = wild(channels.COMMANDS, [new_id()])
    for message in data.draw(st.lists(wild(channels.REPORTS, [new_id()]), min_size=1, max_size=10)):
        daemon.send_multipart([b"reports", header(name), packed([message])])
    for message in data.draw(st.lists(commands, min_size=1, max_size=10)):
        broker.executor.send_multipart([b"commands", header("executor"), packed([message])])
    for message in data.draw(st.lists(wild(channels.ACKS, [new_id()]), max_size=5)):
        broker.monitor.send_multipart([b"acks", header("monitor"), name.encode(), packed([message])])
    still = broker.daemon(f"{name}-still", owner=f"{name}-still")
    command = spawn(owner=f"{name}-still")
    broker.executor.send_multipart([b"commands", header("executor"), COMMANDS.encode([command])])
    broker.wait(f"{name}-still", SpawnTask, task=command.task)
    fence = StepReady(directive=new_id())
    broker.publisher.send_multipart(encode_event(fence, "test"))
    broker.wait("events", StepReady, directive=fence.directive)
    assert broker.process.poll() is None
    for connected in (daemon, still):
        broker.poller.unregister(connected)
        del broker.names[connected]
        connected.close(linger=0)
