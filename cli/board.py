"""What is known of a directive while it is watched: its newest state, and what its events added. Pure."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from cli.graph import in_order
from cli.text import clean

DELIVERED, STOPPED, TIMED_OUT = 0, 1, 124
"""How watching ends: exit codes."""

JOBS = {"plan": "Plan the steps", "completion": "Merge and deliver", "verification": "Verify the delivery"}
_SHOWN_AGAIN_AFTER = (
    "directive.changed", "plan.finished", "step.added", "step.removed", "step.ready", "step.changed", "task.changed",
    "delivery.finished", "order.changed", "question.asked", "question.answered",
)  # fmt: skip


class Job:
    """A task that serves the directive as a whole."""

    def __init__(self, kind: str, task: str) -> None:
        self.kind = kind
        self.task = task
        self.status = "pending"
        self.daemon: str | None = None
        self.reason: str | None = None
        self.began: datetime | None = None
        self.ended: datetime | None = None


class Board:
    """The directive as the gateway shows it, kept current by `show` and `happened`."""

    def __init__(self, shown: dict[str, Any]) -> None:
        self.show(shown)
        self.jobs: dict[str, Job] = {}
        self.last_lines: dict[str, str] = {}
        self.questions: dict[str, str] = {}
        self.first: datetime | None = None
        self.last_seq = 0
        self.trouble: str | None = None
        self._heard: dict[tuple[str, int], int] = {}

    def show(self, shown: dict[str, Any]) -> None:
        """Take in the newest state."""
        self.directive, self.stale = {**shown, "steps": in_order(shown["steps"])}, False

    def happened(self, event: dict[str, Any]) -> list[str]:
        """Take in an event; the plain lines that tell it."""
        at = datetime.fromisoformat(event["at"])
        self.last_seq = max(self.last_seq, event["seq"] or 0)
        if event["type"] == "task.output":
            return [
                f"{self._since(at)}  {self._name_of(event['body']['task'])} | {line}" for line in self._output(event)
            ]
        self.first = self.first or at
        self.stale = self.stale or event["type"] in _SHOWN_AGAIN_AFTER
        if event["type"] == "task.changed":
            self._task_changed(event["body"], at)
        if event["type"] == "question.asked":
            self.questions[str(event["body"].get("question"))] = clean(event["body"].get("text", ""))
        if event["type"] == "question.answered":
            self.questions.pop(str(event["body"].get("question")), None)
        told = _told(event)
        return [f"{self._since(at)}  {told}"] if told else []

    def outcome(self) -> int | None:
        """The exit code, once the directive has come to an end."""
        status = self.directive["status"]
        if status == "completed" or (status == "idle" and self.directive["pr_url"]):
            return DELIVERED
        return STOPPED if status in ("paused", "archived") else None

    def ending(self) -> str:
        """The last line: how it ended, and where its work is."""
        shown = self.directive
        status = "delivered" if shown["status"] == "idle" and shown["pr_url"] else shown["status"]
        outcome = shown["delivery_outcome"] or ""
        words = shown["pause_reason"] or ("" if outcome.startswith("delivered") else outcome)
        reason = f": {clean(words)}" if words else ""
        branch = f" on {shown['pr_branch']}" if shown["pr_branch"] else ""
        return f"{status}{reason}{branch}" + (f", {shown['pr_url']}" if shown["pr_url"] else "")

    def counts(self) -> Counter[str]:
        """How many steps are in each status."""
        return Counter(step["status"] for step in self.directive["steps"])

    def _task_changed(self, body: dict[str, Any], at: datetime) -> None:
        if body["kind"] not in JOBS:
            return
        job = self.jobs.setdefault(body["task"], Job(body["kind"], body["task"]))
        job.status, job.reason = body["status"], body.get("reason")
        job.daemon = body.get("daemon") or job.daemon
        job.began = job.began or at
        job.ended = at if body["status"] in ("completed", "failed", "cancelled") else None

    def _output(self, event: dict[str, Any]) -> list[str]:
        """The lines of an event of output that weren't heard before: it may come twice."""
        body = event["body"]
        run = (body["task"], body["attempt"])
        lines = [clean(line) for line in body["lines"]][max(self._heard.get(run, 0) - body["first"], 0) :]
        self._heard[run] = max(self._heard.get(run, 0), body["first"] + len(body["lines"]))
        if said := [line for line in lines if line.strip()]:
            self.last_lines[body["task"]] = said[-1]
        return lines

    def _name_of(self, task: str) -> str:
        if task in self.jobs:
            return JOBS[self.jobs[task].kind]
        return next((clean(s["name"]) for s in self.directive["steps"] if s["task_id"] == task), task[-8:])

    def _since(self, at: datetime) -> str:
        return f"{(at - (self.first or at)).total_seconds():7.2f}"


def _told(event: dict[str, Any]) -> str | None:
    body, kind = event["body"], event["type"]
    reason = f": {clean(body['reason'])}" if body.get("reason") else ""
    if kind == "step.changed":
        return f"step {clean(body['name'])} {body['status']}{reason}"
    if kind == "task.changed" and (body["kind"] != "step" or reason):
        return f"{body['kind']} task {body['task'][-8:]} {body['status']}{reason}"
    if kind == "directive.changed":
        return f"directive {body.get('status', '')}{reason}"
    if kind == "delivery.finished":
        return f"delivered {clean(body.get('branch', ''))}" + (f", {body['pr_url']}" if body.get("pr_url") else "")
    if kind == "question.asked":
        return f"question asked: {clean(body.get('text', ''))}"
    if kind == "step.added":
        return f"{_steps(body)} added"
    return f"{_steps(body)} ready" if kind == "step.ready" else None


def _steps(body: dict[str, Any]) -> str:
    many = len(body["steps"])
    return "1 step" if many == 1 else f"{many} steps"
