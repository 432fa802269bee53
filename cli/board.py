"""What is known of a directive while it is watched: its newest state, and what its events added. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from cli.events import read
from cli.graph import in_order
from cli.story import rests_after
from cli.text import clean, commands
from shared.api.directives import DirectiveShown
from shared.api.events import EventShown
from shared.api.questions import QuestionShown
from shared.api.steps import StepShown
from shared.api.tasks import OutputBatch
from shared.api.waiting import WhyShown
from shared.domain.statuses import DirectiveStatus, Standing, StepStatus
from shared.messages import events
from shared.messages.events import AnyEvent

DELIVERED, STOPPED, TIMED_OUT = 0, 1, 124
"""How watching ends: exit codes."""

JOBS = {"plan": "Plan the steps", "completion": "Merge and deliver", "verification": "Verify the delivery"}
CALLED = {"plan": "plan", "completion": "delivery", "verification": "verification"}
"""What commands call the tasks of a directive as a whole, behind its number."""
HELD = (Standing.WAITING, Standing.PAUSED, Standing.AWAITING_APPROVAL)
"""Where a directive says why it stands there, and what would move it on."""
_ENDS = (Standing.COMPLETED, Standing.MERGED, Standing.DELIVERED, Standing.PULL_REQUEST_OPEN)
_SHOWN_AGAIN_AFTER = (
    "directive.changed", "plan.finished", "step.added", "step.removed", "step.ready", "step.changed", "task.changed",
    "delivery.finished", "order.changed", "question.asked", "question.answered",
)  # fmt: skip
_LIVE = ("starting", "running", "paused")


class Job:
    """A task that serves the directive as a whole."""

    def __init__(self, kind: str, task: UUID) -> None:
        self.kind = kind
        self.task = task
        self.status = "pending"
        self.daemon: str | None = None
        self.reason: str | None = None
        self.began: datetime | None = None
        self.ended: datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether a daemon has it."""
        return self.status in _LIVE


class Board:
    """The directive as the gateway shows it, kept current by `show` and `happened`."""

    def __init__(self, shown: DirectiveShown) -> None:
        self.show(shown)
        self.jobs: dict[UUID, Job] = {}
        self.last_lines: dict[UUID, str] = {}
        self.questions: Sequence[QuestionShown] = ()
        self.why: WhyShown | None = None
        """Why nothing of it goes on; None while something does."""
        self.asks = False
        """A question was asked or answered since they were looked at."""
        self.first: datetime | None = None
        self.last_seq = 0
        self.trouble: str | None = None
        self._heard: dict[tuple[UUID, int], int] = {}
        self._rested = False

    def show(self, shown: DirectiveShown) -> None:
        """Take in the newest state."""
        self.directive, self.stale = msgspec.structs.replace(shown, steps=in_order(shown.steps)), False

    def happened(self, event: EventShown) -> list[str]:
        """Take in an event; the plain lines that tell it."""
        self.last_seq = max(self.last_seq, event.seq or 0)
        body = read(event)
        if isinstance(body, events.TaskOutput):
            return [f"{self._since(event.at)}  {self._name_of(body.task)} | {line}" for line in self._output(body)]
        self.first = self.first or event.at
        self.stale = self.stale or event.type in _SHOWN_AGAIN_AFTER
        self.asks = self.asks or event.type.startswith("question.")
        if isinstance(body, events.TaskChanged):
            self._task_changed(body, event.at)
        told = self._told(body)
        return [f"{self._since(event.at)}  {told}"] if told else []

    def printed(self, task: UUID, batch: OutputBatch) -> None:
        """Take in what a task printed before it was watched."""
        if said := [clean(line) for line in batch.events if line.strip()]:
            self.last_lines[task] = said[-1]

    def outcome(self) -> int | None:
        """The exit code, once the directive has come to an end: what is delivered anew is waited for."""
        shown = self.directive
        if shown.standing in _ENDS and (shown.status is DirectiveStatus.COMPLETED or shown.pr_url):
            return DELIVERED
        return STOPPED if shown.standing in (Standing.PAUSED, Standing.ARCHIVED) else None

    def ending(self) -> str:
        """The last line: how it ended, and where its work is."""
        shown = self.directive
        outcome = shown.delivery_outcome or ""
        words = shown.pause_reason or ("" if outcome.startswith("delivered") else outcome)
        reason = f": {clean(words)}" if words else ""
        branch = f" on {shown.pr_branch}" if shown.pr_branch else ""
        return f"{shown.standing}{reason}{branch}" + (f", {shown.pr_url}" if shown.pr_url else "")

    def counts(self) -> Counter[StepStatus]:
        """How many steps are in each status."""
        return Counter(step.status for step in self.directive.steps)

    def is_quiet(self) -> bool:
        """Whether nothing of it is on a daemon, as far as is known, though it hasn't ended."""
        runs = any(step.status is StepStatus.RUNNING for step in self.directive.steps)
        return not runs and not any(job.is_live for job in self.jobs.values())

    def called(self, task: UUID | None) -> str:
        """What commands take for a task of it."""
        number = self.directive.number
        if task in self.jobs:
            return f"{number}/{CALLED[self.jobs[task].kind]}"
        return f"{number}/{step.number}" if (step := self._step_of(task)) else str(number)

    def _step_of(self, task: UUID | None) -> StepShown | None:
        return next((s for s in self.directive.steps if task is not None and s.task_id == task), None)

    def _task_changed(self, body: events.TaskChanged, at: datetime) -> None:
        if body.kind not in JOBS or body.task is None:
            return
        job = self.jobs.setdefault(body.task, Job(body.kind, body.task))
        if body.asked:
            return
        job.status, job.reason = body.status, body.reason
        job.daemon = body.daemon or job.daemon
        job.began = job.began or at
        job.ended = at if body.status in ("completed", "failed", "cancelled") else None

    def _output(self, body: events.TaskOutput) -> list[str]:
        """The lines of an event of output that weren't heard before: it may come twice."""
        if body.task is None:
            return []
        run = (body.task, body.attempt)
        lines = [clean(line) for line in body.lines][max(self._heard.get(run, 0) - body.first, 0) :]
        self._heard[run] = max(self._heard.get(run, 0), body.first + len(body.lines))
        if said := [line for line in lines if line.strip()]:
            self.last_lines[body.task] = said[-1]
        self.stale = self.stale or (body.task in self.jobs and any(line.startswith("[") for line in lines))
        return lines

    def _name_of(self, task: UUID | None) -> str:
        if task in self.jobs:
            return JOBS[self.jobs[task].kind]
        return clean(step.name) if (step := self._step_of(task)) else "A task"

    def _since(self, at: datetime) -> str:
        return f"{(at - (self.first or at)).total_seconds():7.2f}"

    def _told(self, body: AnyEvent | None) -> str | None:
        rests, self._rested = self._rested, rests_after(body, self._rested)
        match body:
            case events.StepChanged():
                return f"step {clean(body.name)} {body.status}{_because(body.reason)}"
            case events.TaskChanged(asked=False) if body.kind != "step":
                return f"{JOBS.get(body.kind, body.kind)}: {body.status}{_because(body.reason)}"
            case events.TaskChanged(asked=False, reason=str()):
                return f"{self._name_of(body.task)}: its task is {body.status}{_because(body.reason)}"
            case events.DirectiveChanged(status=DirectiveStatus.IDLE):
                return None if rests else "all steps have ended"
            case events.DirectiveChanged() if body.status:
                return f"directive {_words(body.status)}{_because(body.reason)}"
            case events.DeliveryFinished():
                return f"delivered {clean(body.branch)}" + (f", {clean(body.pr_url)}" if body.pr_url else "")
            case events.QuestionAsked():
                return f"question asked: {clean(body.text)}; answer it: makima answer {self.called(body.task)} TEXT"
            case events.StepAdded():
                return f"{_steps(body.steps)} added"
            case events.StepReady():
                return f"{_steps(body.steps)} ready"
        return None


def waits(why: WhyShown) -> Iterable[str]:
    """What is waited for, and the commands that would move it on, a line each."""
    yield clean(why.why)
    yield from (f"  {command}" for command in commands(why.fix))


def _because(reason: str | None) -> str:
    return f": {clean(reason)}" if reason else ""


def _words(status: str) -> str:
    return status.replace("_", " ")


def _steps(steps: Sequence[UUID]) -> str:
    return "1 step" if len(steps) == 1 else f"{len(steps)} steps"
