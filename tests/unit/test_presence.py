"""What the broker believes of its daemons: whose slots are taken, and by what."""

from __future__ import annotations

import msgspec

from services.broker.presence import Presence, Refused
from shared.domain.ids import uuid7
from shared.domain.statuses import Refusal
from shared.messages.commands import SpawnTask
from shared.messages.reports import Hello, Running

UNLISTED = 6.0
TASK, OTHER = uuid7(1, bytes(10)), uuid7(2, bytes(10))


def with_a_daemon() -> Presence:
    presence = Presence(UNLISTED)
    presence.hello(b"d1", Hello(daemon="d1", owner="default", capacity=1, agents=("shell",)), 0.0)
    return presence


def spawn() -> SpawnTask:
    return SpawnTask(
        task=OTHER, attempt=1, owner="default", directive=TASK, kind="step", name="x", branch="b", agent="shell"
    )


def test_what_was_routed_just_now_takes_a_slot_though_no_heartbeat_names_it() -> None:
    presence = with_a_daemon()
    presence.takes(b"d1", TASK, 1, 0.0)
    presence.runs(b"d1", (), UNLISTED - 1)
    assert presence.choose(spawn()) == Refused(Refusal.SLOTS, "1 of 1 slots taken")


def test_a_command_that_never_reached_its_daemon_gives_the_slot_back() -> None:
    presence = with_a_daemon()
    presence.takes(b"d1", TASK, 1, 0.0)
    presence.runs(b"d1", (), UNLISTED + 1)
    assert presence.choose(spawn()) == b"d1"
    assert presence.holder(TASK, 1) is None


def test_a_heartbeat_that_comes_after_the_end_takes_the_slot_for_a_while_only() -> None:
    presence = with_a_daemon()
    presence.takes(b"d1", TASK, 1, 0.0)
    presence.ended(b"d1", TASK, 1)
    presence.runs(b"d1", (Running(task=TASK, attempt=1),), 1.0)
    presence.runs(b"d1", (), 1.0 + UNLISTED + 1)
    assert presence.choose(spawn()) == b"d1"


def test_the_daemon_with_most_free_slots_takes_a_task_unless_another_holds_what_it_starts_from() -> None:
    presence = with_a_daemon()
    presence.hello(b"d2", Hello(daemon="d2", owner="default", capacity=8, agents=("shell",)), 0.0)
    assert presence.choose(spawn()) == b"d2"
    assert presence.choose(msgspec.structs.replace(spawn(), prefer_daemon="d1")) == b"d1"
    presence.takes(b"d1", TASK, 1, 0.0)
    assert presence.choose(msgspec.structs.replace(spawn(), prefer_daemon="d1")) == b"d2"


def test_what_one_daemon_has_in_hand_no_other_takes_by_listing_it() -> None:
    presence = with_a_daemon()
    presence.takes(b"d1", TASK, 1, 0.0)
    claim = (Running(task=TASK, attempt=1),)
    presence.hello(b"d2", Hello(daemon="d2", owner="default", capacity=8, running=claim), 1.0)
    presence.runs(b"d2", claim, 2.0)
    assert presence.holder(TASK, 1) == b"d1"
    presence.gone(b"d2")
    assert presence.holder(TASK, 1) == b"d1"
    presence.gone(b"d1")
    presence.runs(b"d2", claim, 3.0)
    assert presence.holder(TASK, 1) is None
