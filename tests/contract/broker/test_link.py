"""The link: daemons on other machines are who their keys say, hear what is theirs, and speak of what they hold."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import msgspec
import pytest
import zmq

from services.broker.link import MAX_SLOTS_UNGIVEN
from shared.bus.link import Admitted, KeyPair, connect_by, key_pair, server_keys, write_admitted
from shared.domain.ids import new_id
from shared.domain.statuses import DeliveredAs, Refusal
from shared.messages.commands import Drain, SpawnTask, Unroutable
from shared.messages.events import DaemonConnected, DaemonLost, TaskOutput
from shared.messages.frames import DOWNWARD, REPORT_REPLIES, REPORTS, UPWARD, header
from shared.messages.link import Close, Downward, Join, Joined, Open, Piece, Reset, Upward
from shared.messages.reports import (
    Ack,
    AnyReport,
    Goodbye,
    Heartbeat,
    Hello,
    Identify,
    MessageDelivered,
    NotYours,
    OutputBatch,
    Running,
    TaskAccepted,
    TaskStarted,
    TaskSucceeded,
)
from tests.conftest import free_port
from tests.contract.broker.test_broker import BrokerHarness, spawn
from tests.sampled import sampled


class LinkHarness(BrokerHarness):
    """A broker with a link, and keys that may use it."""

    def __init__(self, folder: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.admitted: dict[str, Admitted] = {}
        super().__init__(folder, link=self.address, owner="me", lost_seconds="2")
        self.home = folder
        self.gateway = self.connect(zmq.DEALER, "calls", "calls")
        self.ready()

    def ready(self) -> None:
        self.gateway.send_multipart([b"ready", header("gateway"), b"", b""])

    def admit(self, *admitted: Admitted, asking: bool = False) -> None:
        write_admitted(self.home, admitted, asking)

    def enrol(self, name: str, owner: str = "me") -> KeyPair:
        """A key that is this daemon's from now on, besides those that are."""
        pair = key_pair()
        self.admitted[f"{owner}/{name}"] = Admitted(key=pair.public, name=name, kind="daemon", owner=owner)
        self.admit(*self.admitted.values())
        return pair

    def far(self, pair: KeyPair, name: str) -> zmq.Socket[bytes]:
        """A socket that connects by this key; what it hears is seen under the name."""
        connected = self.context.socket(zmq.DEALER)
        connect_by(connected, self.address, server_keys(self.home).public, pair)
        self.names[connected] = name
        self.seen.setdefault(name, [])
        self.poller.register(connected, zmq.POLLIN)
        return connected

    def far_daemon(self, name: str, owner: str = "me") -> zmq.Socket[bytes]:
        """An enrolled daemon that has said Hello and been noticed; another owner's is seen as `OWNER/NAME`."""
        connected = self.far(self.enrol(name, owner), name if owner == "me" else f"{owner}/{name}")
        self.report(connected, Hello(daemon=name, owner=owner, capacity=2, agents=("shell",)))
        self.wait("events", DaemonConnected, daemon=name, owner=owner)
        return connected

    def call(self, far: zmq.Socket[bytes], *calls: Upward) -> None:
        far.send_multipart([b"link", header("d"), UPWARD.encode(calls)])

    def answer(self, who: str, *answers: Downward) -> None:
        self.gateway.send_multipart([b"link", header("gateway"), who.encode(), DOWNWARD.encode(answers)])

    def reported(self) -> list[tuple[str, AnyReport]]:
        """What the monitor has heard, each with its daemon."""
        return cast(list[tuple[str, AnyReport]], self.seen["reports"])

    def calls(self) -> list[tuple[str, Upward]]:
        """What the gateway has heard, each with whom it is from."""
        return cast(list[tuple[str, Upward]], self.seen["calls"])

    def called(self, who: str, call: Upward) -> None:
        self.until(lambda: True if (who, call) in self.seen["calls"] else None, f"{call} of {who}")

    def refused(self, what: str) -> None:
        """Wait until the broker has logged, and so counted, that it refused this."""
        self.until(lambda: True if what in self.log.read_text() else None, f"a refusal: {what}")

    def _take(self, name: str, parts: list[bytes]) -> None:
        if name == "calls":
            self.seen[name] += [(parts[2].decode(), call) for call in UPWARD.decode(parts[3])]
        elif parts[0] == b"link":
            self.seen[name] += DOWNWARD.decode(parts[2])
        else:
            super()._take(name, parts)


@pytest.fixture
def link(tmp_path: Path) -> Iterator[LinkHarness]:
    harness = LinkHarness(tmp_path)
    yield harness
    harness.close()


def quiet(link: LinkHarness, name: str, seconds: float = 0.7) -> Sequence[object]:
    """What arrives there while somebody would have been answered."""
    until = time.monotonic() + seconds
    link.until(lambda: True if time.monotonic() > until else None, "the end of a while")
    return link.seen[name]


def test_a_task_goes_over_the_link_to_the_daemon_that_the_key_names_and_its_words_come_back(link: LinkHarness) -> None:
    far = link.far_daemon("laptop")
    command = spawn()
    link.command(command)
    assert link.wait("laptop", SpawnTask) == command
    done = TaskSucceeded(seq=2, task=command.task, attempt=1)
    link.report(far, TaskAccepted(seq=1, task=command.task, attempt=1), done)
    link.heard("laptop", done)
    link.monitor.send_multipart([b"acks", header("monitor"), b"laptop", REPORT_REPLIES.encode([Ack(seqs=(1, 2))])])
    assert link.wait("laptop", Ack).seqs == (1, 2)


def test_a_key_that_nobody_enrolled_carries_nothing(link: LinkHarness) -> None:
    link.enrol("laptop")
    stranger = link.far(key_pair(), "stranger")
    link.report(stranger, Hello(daemon="laptop", owner="me", capacity=9, agents=("shell",)))
    link.call(stranger, Join(key=key_pair().public, name="laptop"))
    link.refused("is nobody's")
    assert not quiet(link, "stranger")
    assert not link.reported()
    assert not link.calls()


def test_a_key_that_is_taken_back_ends_its_daemon_at_once(link: LinkHarness) -> None:
    far = link.far_daemon("laptop")
    command = spawn()
    link.command(command)
    link.wait("laptop", SpawnTask)
    link.admit()
    link.wait("events", DaemonLost, daemon="laptop")
    link.heard("laptop", Goodbye(daemon="laptop", owner="me"))
    link.report(far, TaskSucceeded(seq=1, task=command.task, attempt=1))
    link.refused("may not connect any more")
    link.command(spawn())
    assert [type(one) for one in quiet(link, "laptop")] == [SpawnTask]
    assert not any(isinstance(report, TaskSucceeded) for _, report in link.reported())


@pytest.mark.parametrize(
    "said",
    [
        Hello(daemon="desktop", owner="me", capacity=9),
        Hello(daemon="laptop", owner="another", capacity=9),
        Heartbeat(daemon="desktop"),
        Goodbye(daemon="desktop", owner="me"),
    ],
    ids=lambda said: f"{type(said).__name__} of {said.daemon}",
)
def test_a_daemon_speaks_in_its_own_name_alone(link: LinkHarness, said: AnyReport) -> None:
    link.far_daemon("desktop")
    laptop = link.far_daemon("laptop")
    link.report(laptop, said)
    link.refused("the daemon laptop says that it is")
    link.command(spawn(), spawn(), spawn(), spawn())
    link.wait("desktop", SpawnTask)
    assert said not in [report for _, report in link.reported()]


def test_a_daemon_speaks_of_no_task_that_another_holds(link: LinkHarness) -> None:
    link.far_daemon("desktop")
    command = spawn()
    link.command(command)
    link.wait("desktop", SpawnTask)
    laptop = link.far_daemon("laptop")
    stolen = TaskSucceeded(seq=1, task=command.task, attempt=1)
    shown = OutputBatch(seq=2, task=command.task, attempt=1, directive=command.directive, first=0, lines=())
    link.report(laptop, stolen, shown)
    link.refused("reports on a task that another has")
    link.refused("sends output of a task that it has not")
    link.report(laptop, Heartbeat(daemon="laptop", running=(Running(task=new_id(), attempt=1),)))
    link.until(lambda: [r for d, r in link.reported() if d == "laptop" and isinstance(r, Heartbeat)] or None, "a beat")
    assert stolen not in [report for _, report in link.reported()]
    assert not [e for e in link.seen["events"] if isinstance(e, TaskOutput)]


def test_a_daemon_that_lists_anothers_task_gets_neither_its_place_nor_its_voice(link: LinkHarness) -> None:
    desktop = link.far_daemon("desktop")
    command = spawn()
    link.command(command)
    link.wait("desktop", SpawnTask)
    laptop = link.far_daemon("laptop")
    claim = (Running(task=command.task, attempt=1),)
    shown = OutputBatch(seq=2, task=command.task, attempt=1, directive=command.directive, first=0, lines=("forged",))
    link.report(laptop, Hello(daemon="laptop", owner="me", capacity=2, agents=("shell",), running=claim))
    link.report(laptop, Heartbeat(daemon="laptop", running=claim), shown)
    link.refused("sends output of a task that it has not")
    done = TaskSucceeded(seq=1, task=command.task, attempt=1)
    link.report(desktop, done)
    link.heard("desktop", done)
    assert not [e for e in link.seen["events"] if isinstance(e, TaskOutput)]


def test_whoever_listed_a_task_first_that_is_not_theirs_gives_way_to_its_daemon(link: LinkHarness) -> None:
    """As after a restart of the broker, which then knows of tasks only what daemons list."""
    desktop, laptop = link.far_daemon("desktop"), link.far_daemon("laptop")
    running = Running(task=new_id(), attempt=1)
    link.report(laptop, beat := Heartbeat(daemon="laptop", running=(running,)))
    link.heard("laptop", beat)
    refusal = REPORT_REPLIES.encode([NotYours(task=running.task, attempt=1)])
    link.monitor.send_multipart([b"acks", header("monitor"), b"laptop", refusal])
    link.wait("laptop", NotYours)
    link.report(
        desktop, Heartbeat(daemon="desktop", running=(running,)), TaskStarted(seq=1, task=running.task, attempt=1)
    )
    link.heard("desktop", TaskStarted(seq=1, task=running.task, attempt=1))


def test_a_daemon_has_the_labels_and_slots_that_its_key_was_given_whatever_it_says(link: LinkHarness) -> None:
    pair = key_pair()
    link.admit(Admitted(key=pair.public, name="laptop", kind="daemon", owner="me", labels=("arm",), slots=1))
    far = link.far(pair, "laptop")
    link.report(far, Hello(daemon="laptop", owner="me", capacity=10_000, agents=("shell",), labels=("secret", "arm")))
    link.heard("laptop", Hello(daemon="laptop", owner="me", capacity=1, agents=("shell",), labels=("arm",)))
    wanted = msgspec.structs.replace(spawn(), labels=("secret",))
    link.command(wanted)
    assert link.wait("replies", Unroutable, task=wanted.task).refusal == Refusal.LABELS
    first, second = (msgspec.structs.replace(spawn(), labels=("arm",)) for _ in range(2))
    link.command(first, second)
    assert link.wait("laptop", SpawnTask) == first
    assert link.wait("replies", Unroutable, task=second.task).refusal == Refusal.SLOTS


def test_a_key_that_was_given_no_number_of_slots_has_not_as_many_as_its_daemon_says(link: LinkHarness) -> None:
    far = link.far(link.enrol("laptop"), "laptop")
    link.report(far, Hello(daemon="laptop", owner="me", capacity=10_000, agents=("shell",)))
    link.heard("laptop", Hello(daemon="laptop", owner="me", capacity=MAX_SLOTS_UNGIVEN, agents=("shell",)))


def test_two_owners_daemons_of_one_name_are_two_and_each_runs_its_owners_tasks(link: LinkHarness) -> None:
    mine, theirs = link.far_daemon("laptop"), link.far_daemon("laptop", "web")
    own, other = spawn(), msgspec.structs.replace(spawn(), owner="web")
    link.command(own, other)
    assert link.wait("laptop", SpawnTask) == own
    assert link.wait("web/laptop", SpawnTask) == other
    done = [TaskSucceeded(seq=1, task=command.task, attempt=1) for command in (own, other)]
    link.report(mine, done[0])
    link.report(theirs, done[1])
    link.heard("laptop", done[0])
    link.heard("web/laptop", done[1])
    link.monitor.send_multipart([b"acks", header("monitor"), b"web/laptop", REPORT_REPLIES.encode([Ack(seqs=(1,))])])
    assert link.wait("web/laptop", Ack).seqs == (1,)
    assert not [heard for heard in link.seen["laptop"] if isinstance(heard, Ack)]


def test_a_task_waits_for_its_owners_daemons_however_many_others_have_slots(link: LinkHarness) -> None:
    link.far_daemon("laptop", "web")
    command = spawn()
    link.command(command)
    assert link.wait("replies", Unroutable, task=command.task).refusal == Refusal.NO_DAEMON
    assert not [heard for heard in link.seen["web/laptop"] if isinstance(heard, SpawnTask)]


def test_a_daemon_speaks_of_no_task_that_another_owners_daemon_holds(link: LinkHarness) -> None:
    link.far_daemon("laptop")
    command = spawn()
    link.command(command)
    link.wait("laptop", SpawnTask)
    theirs = link.far_daemon("laptop", "web")
    told = MessageDelivered(seq=2, task=command.task, attempt=1, message=new_id(), how=DeliveredAs.WHILE_IT_RAN)
    link.report(theirs, TaskSucceeded(seq=1, task=command.task, attempt=1), told)
    link.refused("the daemon web/laptop reports on a task that another has")
    link.report(theirs, Heartbeat(daemon="laptop", running=(Running(task=new_id(), attempt=1),)))
    link.until(lambda: [r for d, r in link.reported() if d == "web/laptop" and isinstance(r, Heartbeat)] or None, "it")
    assert not [r for _, r in link.reported() if isinstance(r, TaskSucceeded | MessageDelivered)]


@pytest.mark.parametrize("said", [Hello(daemon="laptop", owner="me", capacity=9), Goodbye(daemon="laptop", owner="me")])
def test_a_daemon_speaks_for_no_other_owner(link: LinkHarness, said: AnyReport) -> None:
    link.far_daemon("laptop")
    theirs = link.far_daemon("laptop", "web")
    link.report(theirs, said)
    link.refused("the daemon web/laptop says that it is 'laptop' of 'me'")
    command = spawn()
    link.command(command)
    assert link.wait("laptop", SpawnTask) == command


def test_output_goes_to_no_directive_that_its_task_is_not_of(link: LinkHarness) -> None:
    theirs = link.far_daemon("laptop", "web")
    command = msgspec.structs.replace(spawn(), owner="web")
    link.command(command)
    link.wait("web/laptop", SpawnTask)
    link.report(
        theirs, OutputBatch(seq=1, task=command.task, attempt=1, directive=new_id(), first=0, lines=("forged",))
    )
    link.refused("sends output to a directive that its task is not of")
    own = OutputBatch(seq=2, task=command.task, attempt=1, directive=command.directive, first=0, lines=("own",))
    link.report(theirs, own)
    assert link.wait("events", TaskOutput).lines == ("own",)


def test_a_key_taken_back_from_one_owners_daemon_leaves_anothers_of_that_name(link: LinkHarness) -> None:
    link.far_daemon("laptop")
    link.far_daemon("laptop", "web")
    del link.admitted["me/laptop"]
    link.admit(*link.admitted.values())
    link.wait("events", DaemonLost, daemon="laptop", owner="me")
    command = msgspec.structs.replace(spawn(), owner="web")
    link.command(command)
    assert link.wait("web/laptop", SpawnTask) == command
    assert not [e for e in link.seen["events"] if isinstance(e, DaemonLost) and e.owner == "web"]


def test_a_drain_goes_to_the_daemon_of_its_owner(link: LinkHarness) -> None:
    link.far_daemon("laptop")
    link.far_daemon("laptop", "web")
    link.command(Drain(owner="web", daemon="laptop", on=True))
    assert link.wait("web/laptop", Drain).owner == "web"
    assert not [heard for heard in link.seen["laptop"] if isinstance(heard, Drain)]


def test_two_owners_daemons_of_one_name_have_streams_of_their_own(link: LinkHarness) -> None:
    mine, theirs = link.far_daemon("laptop"), link.far_daemon("laptop", "web")
    link.call(mine, Open(stream=1))
    link.call(theirs, Open(stream=1))
    link.called("daemon:laptop", Open(stream=1))
    link.called("daemon:web/laptop", Open(stream=1))
    link.answer("daemon:web/laptop", Piece(stream=1, at=0, data=b"200", last=True))
    assert link.wait("web/laptop", Piece).data == b"200"
    assert not [heard for heard in link.seen["laptop"] if isinstance(heard, Piece)]
    link.report(theirs, Goodbye(daemon="laptop", owner="web"))
    link.called("daemon:web/laptop", Reset())
    assert ("daemon:laptop", Reset()) not in link.calls()


def test_an_invitation_lets_its_holder_join_and_do_nothing_else(link: LinkHarness) -> None:
    pair, own = key_pair(), key_pair()
    link.admit(Admitted(key=pair.public, name="", kind="invitation", until=time.time() + 60))
    guest = link.far(pair, "guest")
    who = f"invitation:{pair.public}"
    join = Join(key=own.public, name="laptop")
    link.report(guest, Hello(daemon="laptop", owner="me", capacity=9, agents=("shell",)))
    link.call(guest, join, Open(stream=1))
    link.called(who, join)
    link.refused("does more than join")
    link.answer(who, Joined(key=own.public, name="laptop", owner="me"))
    assert link.wait("guest", Joined).name == "laptop"
    assert [call for _, call in link.calls()] == [join]
    assert not link.reported()


def test_an_invitation_whose_time_is_over_is_nobodys_key(link: LinkHarness) -> None:
    pair = key_pair()
    link.admit(Admitted(key=pair.public, name="", kind="invitation", until=time.time() - 1))
    link.call(link.far(pair, "guest"), Join(key=key_pair().public, name="laptop"))
    link.refused("is nobody's")
    assert not quiet(link, "calls", 0.3)


def test_whoever_nobody_knows_may_ask_where_that_is_allowed(link: LinkHarness) -> None:
    link.admit(asking=True)
    pair = key_pair()
    join = Join(key=pair.public, name="laptop")
    link.call(link.far(pair, "guest"), join)
    link.called(f"asking:{pair.public}", join)


def test_who_was_accepted_under_the_connection_by_which_it_asked_is_told_so(link: LinkHarness) -> None:
    pair, other = key_pair(), key_pair()
    link.admit(Admitted(key=pair.public, name="laptop", kind="daemon", owner="me"), asking=True)
    guest = link.far(pair, "guest")
    who, join = f"asking:{pair.public}", Join(key=pair.public, name="wish")
    link.call(guest, Join(key=other.public, name="laptop"), Open(stream=1), join)
    link.called(who, join)
    link.answer(who, Joined(key=pair.public, name="laptop", owner="me"))
    assert link.wait("guest", Joined).name == "laptop"
    assert [call for _, call in link.calls()] == [join]


def test_a_daemons_streams_go_to_a_gateway_under_its_name_and_back_to_it_alone(link: LinkHarness) -> None:
    laptop = link.far_daemon("laptop")
    link.far_daemon("desktop")
    link.call(laptop, Open(stream=1), Piece(stream=1, at=0, data=b"GET"))
    link.called("daemon:laptop", Piece(stream=1, at=0, data=b"GET"))
    link.answer("daemon:laptop", Piece(stream=1, at=0, data=b"200", last=True))
    assert link.wait("laptop", Piece).data == b"200"
    assert not [heard for heard in link.seen["desktop"] if isinstance(heard, Piece)]


def test_streams_end_with_the_gateway_that_carried_them_and_with_their_daemon(link: LinkHarness) -> None:
    laptop = link.far_daemon("laptop")
    link.call(laptop, Open(stream=1))
    link.called("daemon:laptop", Open(stream=1))
    link.gateway.close()
    link.poller.unregister(link.gateway)
    link.gateway = link.connect(zmq.DEALER, "calls", "calls")

    def live() -> None:
        link.ready()
        link.report(laptop, Heartbeat(daemon="laptop"))

    link.until(lambda: next((m for m in link.seen["laptop"] if isinstance(m, Reset)), None), "a reset", live)
    link.call(laptop, Close(stream=1))
    link.called("daemon:laptop", Close(stream=1))
    link.report(laptop, Goodbye(daemon="laptop", owner="me"))
    link.called("daemon:laptop", Reset())


def test_without_a_gateway_a_call_is_answered_at_once(link: LinkHarness) -> None:
    link.poller.unregister(link.gateway)
    link.gateway.close()
    laptop = link.far_daemon("laptop")
    link.until(
        lambda: next((m for m in link.seen["laptop"] if isinstance(m, Reset)), None),
        "a reset",
        lambda: link.call(laptop, Open(stream=1)),
    )


def test_a_daemon_that_the_broker_does_not_know_is_asked_who_it_is(link: LinkHarness) -> None:
    far = link.far(link.enrol("laptop"), "laptop")
    link.report(far, Heartbeat(daemon="laptop"))
    assert link.wait("laptop", Identify)


@pytest.mark.parametrize("frames", sampled([5000, 100_000], [5000]))
def test_no_frame_of_an_enrolled_daemon_harms_the_broker(link: LinkHarness, frames: int) -> None:
    laptop = link.far_daemon("laptop")
    rng = random.Random(7)
    good = [b"reports", header("d"), REPORTS.encode([Heartbeat(daemon="laptop")])]
    calls = [b"link", header("d"), UPWARD.encode([Piece(stream=1, at=0, data=b"x" * 100)])]
    for _ in range(frames):
        parts = [bytearray(part) for part in rng.choice((good, calls))]
        for _ in range(rng.randint(1, 4)):
            part = rng.choice(parts)
            if part and rng.random() < 0.8:
                part[rng.randrange(len(part))] = rng.randrange(256)
            elif rng.random() < 0.5:
                parts.append(bytearray(rng.randbytes(9)))
        laptop.send_multipart([bytes(part) for part in parts])
    command = spawn()
    link.until(
        lambda: next((m for m in link.seen["laptop"] if m == command), None), "a task", lambda: link.command(command)
    )
    assert {daemon for daemon, _ in link.reported()} == {"laptop"}


def test_a_daemon_that_floods_the_broker_keeps_nobody_from_getting_tasks(link: LinkHarness) -> None:
    link.far_daemon("desktop")
    laptop = link.far_daemon("laptop")
    link.report(laptop, Hello(daemon="laptop", owner="me", capacity=0))
    listed = Heartbeat(daemon="laptop", running=tuple(Running(task=new_id(), attempt=1) for _ in range(60_000)))
    many = [Heartbeat(daemon="laptop", running=(Running(task=new_id(), attempt=1),))] * 20_000
    for body in (REPORTS.encode([listed]), REPORTS.encode(many)):
        for _ in range(40):
            laptop.send_multipart([b"reports", header("d"), body])
    command = spawn()
    link.command(command)
    assert link.wait("desktop", SpawnTask) == command
    link.refused("the daemon laptop lists 60000 tasks")


def test_nothing_unencrypted_is_let_in(link: LinkHarness) -> None:
    plain = link.context.socket(zmq.DEALER)
    plain.setsockopt(zmq.LINGER, 0)
    plain.connect(f"tcp://{link.address}")
    plain.send_multipart([b"reports", header("d"), REPORTS.encode([Hello(daemon="laptop", owner="me", capacity=9)])])
    link.refused("a peer shows no key on link")
    assert not link.reported()
