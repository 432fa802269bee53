"""Reports: what daemons and the broker tell the monitors. Each has a `seq`, and is resent until acknowledged."""

from __future__ import annotations

from uuid import UUID

import msgspec

from shared.domain.delivery import Commit, Result
from shared.domain.statuses import DeliveredAs
from shared.messages.numbers import DaemonName, Dollars, ExitCode, LineNumber, Number, Seconds, Sequence, Slots, Tokens


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt that a daemon has in hand."""

    task: UUID
    attempt: Number


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="Hello"):
    """By a daemon when it connects or was asked to: who it is, what it can do and what it runs. Not acknowledged."""

    daemon: DaemonName
    owner: DaemonName
    capacity: Slots
    labels: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    running: tuple[Running, ...] = ()
    workspaces: tuple[UUID, ...] = ()
    draining: bool = False
    refuses: str | None = None
    """Why it takes no more work now, where nobody asked for that: its disk, its memory. A Hello says when that ends."""
    drain_asked: bool = False
    """It drains because somebody asked for it."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="Heartbeat"):
    """By a daemon every `heartbeat_seconds`, listing what it runs: their leases are renewed. Not acknowledged."""

    daemon: DaemonName
    running: tuple[Running, ...] = ()


class Goodbye(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="Goodbye"):
    """By a daemon that stops (or by the broker for one unheard of): its slots are gone. Not acknowledged."""

    daemon: DaemonName
    owner: DaemonName = ""


class Report(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every acknowledged report carries. `seq` counts up for a daemon's life and is what an Ack names."""

    seq: Sequence
    task: UUID
    attempt: Number


class TaskAccepted(Report, frozen=True, kw_only=True, tag="TaskAccepted"):
    """The daemon has journaled the command and will run it."""


class TaskStarted(Report, frozen=True, kw_only=True, tag="TaskStarted"):
    """The workspace stands and the agent's process runs."""

    branch: str = ""
    session: str | None = None
    agent: str = ""
    """The agent that the repository's settings name, where it runs in the place of the one asked for."""


class TaskUsage(Report, frozen=True, kw_only=True, tag="TaskUsage"):
    """What an attempt has cost so far, of all its runs together; a later one replaces it. By the daemon as it grows."""

    cost_usd: Dollars = 0.0
    tokens: Tokens = 0
    session: str | None = None


class OutputBatch(Report, frozen=True, kw_only=True, tag="OutputBatch"):
    """Consecutive lines of an attempt's output; `first` is the number of the first, from 0."""

    directive: UUID
    first: LineNumber
    lines: tuple[str, ...]


class MessageDelivered(Report, frozen=True, kw_only=True, tag="MessageDelivered"):
    """A person's message has reached the agent."""

    message: UUID
    how: DeliveredAs


class TaskSucceeded(Report, frozen=True, kw_only=True, tag="TaskSucceeded"):
    """It ended well: the work is committed and pushed. `outcome` is the agent's closing words."""

    branch: str | None = None
    head: str | None = None
    pr_url: str | None = None
    outcome: str = ""
    cost_usd: Dollars = 0.0
    tokens: Tokens = 0
    session: str | None = None
    files_changed: tuple[str, ...] = ()
    result: Result | None = None
    """Of a delivery: what came of it."""
    commits: tuple[Commit, ...] = ()
    """What the attempt committed, oldest first; of very many the newest."""
    base: str | None = None
    """The newest commit of the base branch that the work is built on."""
    unchecked: bool = False
    """Of a planning: the check fails on the base branch by itself, and it goes on without."""


class TaskFailed(Report, frozen=True, kw_only=True, tag="TaskFailed"):
    """It ended badly: why, in words, with the exit code if there is one and the tail of the output.

    `permanent`: trying again can't fix it. `wait_seconds`: no failure, its model is limited or not there, and it goes
    on after so long; 0: nobody knows how long, so after growing pauses. `blocked`: no failure either, a person must
    fix something first, and the reason says what. `branch` holds the work that was kept, where the next attempt
    starts. `session` empty: none is to be resumed.
    """

    reason: str
    exit_code: ExitCode | None = None
    tail: str = ""
    permanent: bool = False
    wait_seconds: Seconds | None = None
    blocked: bool = False
    branch: str | None = None
    cost_usd: Dollars = 0.0
    tokens: Tokens = 0
    session: str | None = None


class TaskInterrupted(Report, frozen=True, kw_only=True, tag="TaskInterrupted"):
    """It was stopped: by CancelTask (`cancelled`), or because the daemon went down or came back without it.

    `branch` holds the work that was kept, where the next attempt starts.
    """

    reason: str = ""
    cancelled: bool = False
    cost_usd: Dollars = 0.0
    tokens: Tokens = 0
    session: str | None = None
    branch: str | None = None


AnyReport = (
    Hello
    | Heartbeat
    | Goodbye
    | TaskAccepted
    | TaskStarted
    | TaskUsage
    | MessageDelivered
    | OutputBatch
    | TaskSucceeded
    | TaskFailed
    | TaskInterrupted
)


class Ack(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="Ack"):
    """By a monitor, after its commit: these reports are durable."""

    seqs: tuple[Sequence, ...]


class NotYours(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="NotYours"):
    """By a monitor: this attempt is not the daemon's any more. Kill it, keep off the branch, forget its reports."""

    task: UUID
    attempt: Number


class Identify(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="Identify"):
    """By a broker that hears a daemon it doesn't know (it was restarted): say Hello."""


AnyReportReply = Ack | NotYours | Identify
