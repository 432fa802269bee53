"""What an attempt says of itself: the reports of its beginning, its output, what it takes, and how it ended."""

from __future__ import annotations

from typing import Protocol, TypedDict
from uuid import UUID

import msgspec

from services.daemon.processes.tree import Group
from services.daemon.runs.conversation import Conversation
from services.daemon.runs.decisions import Over
from services.daemon.runs.output import Log
from shared.domain.delivery import Commit, Result
from shared.domain.statuses import DeliveredAs
from shared.messages.commands import SpawnTask
from shared.messages.reports import (
    MessageDelivered,
    OutputBatch,
    Report,
    TaskFailed,
    TaskInterrupted,
    TaskStarted,
    TaskSucceeded,
    TaskUsage,
)

MAX_FILES = 2000
REASON_CHARACTERS = 4000


class Usage(TypedDict):
    """What an attempt took so far, as reports carry it."""

    cost_usd: float
    tokens: int
    session: str | None


class AttemptHost(Protocol):
    """What an attempt needs of its daemon."""

    def next_seq(self) -> int:
        """A number for a report."""

    def report(self, report: Report) -> None:
        """Journal and send a report."""

    def runs(self, key: tuple[UUID, int], group: Group) -> None:
        """Journal the process group of an attempt."""

    def free_slots(self) -> int:
        """How many more tasks this daemon could run now."""


class Reporter:
    """One attempt's reports. Those of its end are only made here; its daemon gives them out, last of all."""

    def __init__(self, command: SpawnTask, daemon: AttemptHost, log: Log) -> None:
        self.talk: Conversation | None = None
        """The latest one with its agent: what all of them took, and the session."""
        self.agent = ""
        """The agent that runs in the place of the one asked for."""
        self._command = command
        self._daemon = daemon
        self._log = log
        self._sessions: set[str | None] = set()
        self._printed = 0

    def interrupted(self, reason: str | None) -> TaskInterrupted:
        """The report that it was stopped; `reason` None: by the daemon's own end."""
        return TaskInterrupted(
            seq=self._daemon.next_seq(),
            task=self._command.task,
            attempt=self._command.attempt,
            reason="the daemon stops" if reason is None else reason or "cancelled",
            cancelled=reason is not None,
            **self._usage(),
        )

    def started(self, branch: str, session: str | None = None) -> None:
        """Report that it runs, in a session where it has one; once a session."""
        if session in self._sessions:
            return
        self._sessions.add(session)
        report = TaskStarted(
            seq=self._daemon.next_seq(),
            task=self._command.task,
            attempt=self._command.attempt,
            branch=branch,
            session=session,
            agent=self.agent,
        )
        self._daemon.report(report)

    def spent(self) -> None:
        """Report what it took so far."""
        seq = self._daemon.next_seq()
        self._daemon.report(TaskUsage(seq=seq, task=self._command.task, attempt=self._command.attempt, **self._usage()))

    def _usage(self) -> Usage:
        """What every report on an attempt's end carries."""
        talk = self.talk
        if talk is None:
            return {"cost_usd": 0.0, "tokens": 0, "session": None}
        return {"cost_usd": talk.cost_usd, "tokens": talk.tokens, "session": talk.session}

    def message_delivered(self, message: UUID, how: DeliveredAs) -> None:
        """Report that a person's words have reached the agent."""
        seq = self._daemon.next_seq()
        self._daemon.report(
            MessageDelivered(seq=seq, task=self._command.task, attempt=self._command.attempt, message=message, how=how)
        )

    def lines(self, lines: list[str]) -> None:
        """Report what it printed."""
        command = self._command
        self._daemon.report(
            OutputBatch(
                seq=self._daemon.next_seq(),
                task=command.task,
                attempt=command.attempt,
                directive=command.directive,
                first=self._printed,
                lines=tuple(lines),
            )
        )
        self._printed += len(lines)

    def succeeded(
        self,
        branch: str | None = None,
        head: str | None = None,
        changed: tuple[str, ...] = (),
        result: Result | None = None,
        commits: tuple[Commit, ...] = (),
        base: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> TaskSucceeded:
        """The report that it ended well, and with what."""
        return TaskSucceeded(
            seq=self._daemon.next_seq(),
            task=self._command.task,
            attempt=self._command.attempt,
            branch=branch,
            head=head,
            outcome="\n\n".join(part for part in (self.talk.outcome if self.talk else "", *notes) if part),
            files_changed=changed[:MAX_FILES],
            **self._usage(),
            result=result,
            commits=commits,
            base=base,
            unchecked=self.talk is not None and self.talk.unchecked,
        )

    def failed(self, reason: str, code: int | None = None, permanent: bool = False) -> TaskFailed:
        """The report that it ended badly, and why."""
        return TaskFailed(
            seq=self._daemon.next_seq(),
            task=self._command.task,
            attempt=self._command.attempt,
            reason=reason[:REASON_CHARACTERS].replace("\0", ""),
            exit_code=code,
            tail=self._log.tail(),
            permanent=permanent,
            **self._usage(),
        )

    def over(self, over: Over, kept: str | None) -> TaskFailed:
        """The report that its agent's work is over; `kept`: the branch that it can go on from."""
        failed = self.failed(over.reason, over.exit_code, over.permanent)
        return msgspec.structs.replace(failed, branch=kept, blocked=over.blocked, wait_seconds=over.wait_seconds)
