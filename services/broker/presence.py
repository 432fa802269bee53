"""Which daemons are present, what each runs, and which one takes a task. Pure: time is handed in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from shared.domain.statuses import Refusal
from shared.messages.commands import SpawnTask
from shared.messages.reports import Hello, Running

AttemptKey = tuple[UUID, int]
MAX_RUNNING = 10_000
"""Attempts that a daemon can have in hand: as many as it may have slots."""


@dataclass
class Daemon:
    """One connected daemon, as its last Hello and what passed since say."""

    identity: bytes
    name: str
    owner: str
    capacity: int
    labels: frozenset[str]
    agents: frozenset[str]
    draining: bool
    last_heard: float
    last_told: float = float("-inf")
    """When monitors last got a heartbeat of it while it ran nothing."""
    running: dict[AttemptKey, float] = field(default_factory=dict)
    """What takes its slots, and when that was last routed to it or named by it."""

    @property
    def free(self) -> int:
        """Slots that are free now."""
        return 0 if self.draining else max(self.capacity - len(self.running), 0)


@dataclass(frozen=True)
class Refused:
    """Why no daemon takes a task now, as a kind and in words."""

    kind: Refusal
    reason: str


class Presence:
    """The connected daemons by identity (what they are called on the wire)."""

    def __init__(self, unlisted_seconds: float) -> None:
        self._unlisted_seconds = unlisted_seconds
        """A daemon that is heard, and hasn't named an attempt for so long, doesn't have it: the command never reached
        it, or a heartbeat came late."""
        self.daemons: dict[bytes, Daemon] = {}
        self._holders: dict[AttemptKey, bytes] = {}
        self._directives: dict[AttemptKey, UUID] = {}
        """Of what was routed: what daemons list themselves is known by its task alone."""

    def hello(self, identity: bytes, hello: Hello, now: float) -> bool:
        """Take in a Hello; whether the daemon is new here."""
        new = self.gone(identity) is None
        self.daemons[identity] = Daemon(
            identity=identity,
            name=hello.daemon,
            owner=hello.owner,
            capacity=hello.capacity,
            labels=frozenset(hello.labels),
            agents=frozenset(hello.agents),
            draining=hello.draining,
            last_heard=now,
        )
        self.runs(identity, hello.running, now)
        return new

    def heard(self, identity: bytes, now: float) -> bool:
        """Note a sign of life; whether the daemon is known."""
        if (daemon := self.daemons.get(identity)) is None:
            return False
        daemon.last_heard = now
        return True

    def takes(self, identity: bytes, task: UUID, attempt: int, now: float) -> None:
        """An attempt is in a daemon's hand: it takes one of its slots."""
        if daemon := self.daemons.get(identity):
            daemon.running[task, attempt] = now
            self._holders[task, attempt] = identity

    def routed(self, identity: bytes, command: SpawnTask, now: float) -> None:
        """A daemon is sent a task."""
        self.takes(identity, command.task, command.attempt, now)
        self._directives[command.task, command.attempt] = command.directive

    def runs(self, identity: bytes, running: Iterable[Running], now: float) -> None:
        """What a heartbeat lists is what the daemon runs, besides what was routed to it just now.

        What another has in hand stays that one's, whoever lists it: monitors tell them apart by their rows.
        """
        if (daemon := self.daemons.get(identity)) is not None:
            for attempt in running:
                holder = self.holder(attempt.task, attempt.attempt)
                if holder == identity or (holder is None and len(daemon.running) < MAX_RUNNING):
                    self.takes(identity, attempt.task, attempt.attempt, now)
            for key in [k for k, at in daemon.running.items() if now - at > self._unlisted_seconds]:
                self._release(identity, daemon, key)

    def ended(self, identity: bytes, task: UUID, attempt: int) -> None:
        """An attempt ended: its slot is free."""
        if daemon := self.daemons.get(identity):
            self._release(identity, daemon, (task, attempt))

    def gone(self, identity: bytes) -> Daemon | None:
        """Remove a daemon, with all that it had in hand; None when it isn't here."""
        if daemon := self.daemons.pop(identity, None):
            for attempt in tuple(daemon.running):
                self._release(identity, daemon, attempt)
        return daemon

    def named(self, owner: str, name: str) -> bytes | None:
        """The identity of an owner's daemon."""
        return next((i for i, d in self.daemons.items() if (d.owner, d.name) == (owner, name)), None)

    def due_to_be_told(self, identity: bytes, now: float, every_seconds: float) -> bool:
        """Whether monitors are to hear of an idle daemon: with no lease to renew, only now and then that it lives."""
        daemon = self.daemons.get(identity)
        if daemon is None or now - daemon.last_told < every_seconds:
            return False
        daemon.last_told = now
        return True

    def lost(self, now: float, after_seconds: float) -> list[Daemon]:
        """Remove and return the daemons unheard for so long."""
        unheard = [i for i, d in self.daemons.items() if now - d.last_heard > after_seconds]
        return [daemon for i in unheard if (daemon := self.gone(i))]

    def holder(self, task: UUID, attempt: int) -> bytes | None:
        """The daemon that has this attempt in hand."""
        return self._holders.get((task, attempt))

    def directive(self, task: UUID, attempt: int) -> UUID | None:
        """The directive of an attempt; None where this broker didn't route it."""
        return self._directives.get((task, attempt))

    def choose(self, command: SpawnTask) -> bytes | Refused:
        """The identity of the daemon that takes a task, or why none does.

        Of the owner's daemons with the agent and a free slot: the one that holds the dependency's workspace, else the
        one with most free slots.
        """
        mine = {i: d for i, d in self.daemons.items() if d.owner == command.owner}
        if not mine:
            return Refused(Refusal.NO_DAEMON, "no daemon of this owner is connected")
        labelled = {i: d for i, d in mine.items() if d.labels >= frozenset(command.labels)}
        if not labelled:
            return Refused(Refusal.LABELS, _unlabelled(command.labels, mine.values()))
        able = {i: d for i, d in labelled.items() if not d.draining}
        if not able:
            return Refused(Refusal.DRAINING, "every daemon is draining")
        if command.agent != "native":
            able = {i: d for i, d in able.items() if command.agent in d.agents}
            if not able:
                return Refused(Refusal.AGENT, f"no connected daemon has the agent {command.agent}")
        free = {i: d for i, d in able.items() if d.free}
        if not free:
            slots = sum(d.capacity for d in able.values())
            return Refused(Refusal.SLOTS, f"{slots} of {slots} slots taken")
        return max(free, key=lambda i: (free[i].name == command.prefer_daemon, free[i].free))

    def _release(self, identity: bytes, daemon: Daemon, attempt: AttemptKey) -> None:
        daemon.running.pop(attempt, None)
        if self._holders.get(attempt) == identity:
            del self._holders[attempt]
            self._directives.pop(attempt, None)


def _unlabelled(asked: Iterable[str], daemons: Iterable[Daemon]) -> str:
    """Which labels no daemon has, or that none has all of them."""
    offered = frozenset().union(*(daemon.labels for daemon in daemons))
    missing = sorted(set(asked) - offered)
    labels = missing or sorted(set(asked))
    said = f"the label{'s' if len(labels) > 1 else ''} {', '.join(labels)}"
    return f"no connected daemon has {said}" if missing else f"no one connected daemon has {said} together"
