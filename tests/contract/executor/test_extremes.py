"""The executor and what arrives at the edge of what numbers and texts can be: none of it stops it."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.executor.service import CONSUMES
from shared.domain.ids import new_id
from shared.messages.channels import REPLIES
from shared.messages.commands import SpawnTask
from shared.messages.events import StepReady
from shared.messages.frames import event_type, header
from tests.contract.extremes import THOROUGH, packed, wild
from tests.contract.service_harness import ServiceHarness

SERVICE = "executor"


@THOROUGH
@given(data=st.data())
def test_no_reply_and_no_event_stops_it(stage: ServiceHarness, data: st.DataObject) -> None:
    stage.rows.daemon(capacity=1000)
    directive = stage.rows.directive()
    step = stage.rows.step(directive, "Build", status="ready")
    known = [directive, step, new_id()]
    for message in data.draw(st.lists(wild(REPLIES, known), max_size=10)):
        stage.reply_raw([b"replies", header("broker"), packed([message])])
    for kind in sorted(CONSUMES, key=event_type):
        body = msgspec.msgpack.encode(data.draw(wild([kind], known)))
        stage.publish_raw([f"{event_type(kind)}/".encode(), header("test"), body])
    stage.publish(StepReady(directive=directive, steps=(step,)))
    stage.await_command(SpawnTask, step=step)
    assert stage.alive
