"""A daemon and commands at the edge of what numbers and texts can be: it takes the next one."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.ids import new_id
from shared.messages.channels import ACKS
from shared.messages.commands import CancelTask, Drain, TellTask
from shared.messages.frames import header
from shared.messages.reports import TaskSucceeded
from tests.contract.daemon.test_daemon import house, theatre
from tests.contract.extremes import THOROUGH, packed, wild
from tests.daemon_harness import DaemonHarness

__all__ = ["house", "theatre"]


@settings(THOROUGH, max_examples=15)
@given(data=st.data())
def test_no_command_and_no_reply_stops_it(house: DaemonHarness, data: st.DataObject) -> None:
    known = [new_id()]
    for message in data.draw(st.lists(wild([CancelTask, TellTask], known), min_size=1, max_size=10)):
        house.router.send_multipart([b"d1", b"commands", header("broker"), packed([message])])
    for message in data.draw(st.lists(wild(ACKS, known), min_size=1, max_size=10)):
        house.router.send_multipart([b"d1", b"acks", header("monitor"), packed([message])])
    house.send(Drain(owner=house.settings.owner, daemon="d", on=False))
    command = house.spawn("echo x > x")
    house.send(command)
    assert isinstance(house.ending(command.task), TaskSucceeded)
    assert house.process.poll() is None
