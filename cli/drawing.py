"""A watched directive drawn for a terminal: what is done, what runs and its agent's last line, what waits for what."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli.board import JOBS, Board, Job
from cli.text import amount, clean, duration
from shared.domain.texts import dollars

MARKS = {
    "pending": ("○", "bright_black"),
    "ready": ("◔", "cyan"),
    "running": ("●", "yellow"),
    "completed": ("✔", "green"),
    "failed": ("✘", "red"),
    "skipped": ("↷", "bright_black"),
    "cancelled": ("⊘", "bright_black"),
}
STATUS_STYLES = {
    "active": "bold yellow", "completed": "bold green", "idle": "bold cyan", "paused": "bold red", "draft": "bold",
    "awaiting_approval": "bold magenta", "archived": "bright_black",
}  # fmt: skip
LIVE = ("starting", "running", "paused")
HEAD_AND_FOOT_LINES = 8


class Drawing:
    """Draws a board anew each time it is asked, within the terminal's height."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._spinner = Spinner("dots", style="yellow")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What rich draws."""
        height = (options.height or console.height) - HEAD_AND_FOOT_LINES
        yield Group(*self._head(), Text(""), self._steps(max(height, 4)), *self._foot())

    def _head(self) -> Iterable[RenderableType]:
        shown, counts = self.board.directive, self.board.counts()
        head = Table.grid(expand=True, padding=(0, 1))
        head.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
        head.add_column(justify="right", no_wrap=True)
        status = Text(shown["status"].replace("_", " "), style=STATUS_STYLES.get(shown["status"], "bold"))
        spent = [duration(self._elapsed())]
        if shown["tokens"]:
            spent += [f"{amount(shown['tokens'])} tokens", dollars(shown["cost_usd"])]
        status.append("  " + " · ".join(spent), style="default")
        head.add_row(Text(clean(shown["title"]), style="bold"), status)
        yield head
        all_of, done = sum(counts.values()), counts["completed"] + counts["skipped"]
        if all_of:
            said = [f"{done} of {all_of} steps done"]
            said += [f"{counts[status]} {status}" for status in ("running", "ready", "failed") if counts[status]]
            line = Table.grid(padding=(0, 1))
            bar = ProgressBar(total=all_of, completed=done, width=30, complete_style="green", finished_style="green")
            line.add_row(bar, Text(" · ".join(said), style="bright_black"))
            yield line

    def _steps(self, height: int) -> RenderableType:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=1)
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=44)
        table.add_column(justify="right", no_wrap=True, min_width=7)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        jobs = list(self.board.jobs.values())
        for job in (j for j in jobs if j.kind == "plan"):
            self._job(table, job)
        steps = self.board.directive["steps"]
        names = {step["id"]: clean(step["name"]) for step in steps}
        done = {step["id"] for step in steps if step["status"] in ("completed", "skipped")}
        for part in _fitting(steps, height - len(jobs)):
            if isinstance(part, str):
                table.add_row("", Text(part, style="bright_black"))
            else:
                needs = [names[i] for i in part["depends_on"] if i not in done and i in names]
                self._step(table, part, needs or self._phase_before(part))
        for job in (j for j in jobs if j.kind != "plan"):
            self._job(table, job)
        return table

    def _phase_before(self, step: dict[str, Any]) -> list[str]:
        """The earlier phases that still hold a step back, in words."""
        left = {
            s["order_index"]
            for s in self.board.directive["steps"]
            if s["order_index"] < step["order_index"] and s["status"] in ("pending", "ready", "running")
        }
        return [f"phase {max(left)}"] if left else []

    def _step(self, table: Table, step: dict[str, Any], waits_for: list[str]) -> None:
        mark, style = MARKS[step["status"]]
        running = step["status"] == "running"
        took = _took(_time(step["started_at"]), _time(step["ended_at"])) if step["status"] != "pending" else ""
        if running:
            note = Text(self.board.last_lines.get(step["task_id"] or "", ""), style="default")
            where = step["daemon"] or ""
            note = Text.assemble((where, "cyan"), "  " if where else "", note)
            if step["attempts"] > 1:
                note = Text.assemble((f"attempt {step['attempts']}  ", "magenta"), note)
        elif step["status"] == "failed":
            note = Text(clean(step["reason"] or ""), style="red")
        elif step["waiting_reason"] and step["status"] in ("pending", "ready"):
            note = Text(clean(step["waiting_reason"]), style="magenta")
        elif waits_for:
            note = Text(f"after {', '.join(waits_for)}", style="bright_black")
        else:
            note = Text(step["daemon"] or "", style="bright_black")
        name = Text(clean(step["name"]), style="bold" if running else "bright_black" if style == "bright_black" else "")
        table.add_row(
            self._spinner if running else Text(mark, style=style), name, Text(took, style="bright_black"), note
        )

    def _job(self, table: Table, job: Job) -> None:
        live = job.status in LIVE
        mark, style = MARKS.get(job.status, MARKS["pending"])
        line = self.board.last_lines.get(job.task, "") if live else ""
        note = Text(clean(job.reason), style="red") if job.reason and job.status == "failed" else Text(line)
        if job.daemon:
            note = Text.assemble((job.daemon, "cyan" if live else "bright_black"), "  ", note)
        took = _took(job.began, job.ended)
        name = Text(JOBS[job.kind], style="italic bold" if live else "italic")
        table.add_row(self._spinner if live else Text(mark, style=style), name, Text(took, style="bright_black"), note)

    def _foot(self) -> Iterable[RenderableType]:
        shown, short = self.board.directive, self.board.directive["id"]
        if self.board.outcome() == 0:
            yield Text("")
            where = shown["pr_url"] or shown["pr_branch"] or "no branch: its outcome is that of its last step"
            yield Text.assemble(("✔ ", "green"), ("delivered  ", "bold green"), where)
        elif shown["pause_reason"]:
            yield Text("")
            yield Text.assemble(("✘ ", "red"), (clean(shown["pause_reason"]), "red"))
            yield Text(f"  makima why {short}   then   makima directive resume {short}", style="bright_black")
        elif shown["status"] == "awaiting_approval":
            yield Text("")
            yield Text(f"waits for you:  makima directive approve {short}", style="magenta")
        for question, text in self.board.questions.items():
            yield Text.assemble(("? ", "magenta"), text, (f"   makima answer {question} TEXT", "bright_black"))
        if self.board.trouble:
            yield Text(self.board.trouble, style="magenta")

    def _elapsed(self) -> float:
        shown = self.board.directive
        began = self.board.first or _time(shown["created_at"]) or datetime.now(UTC)
        times = [_time(step["ended_at"]) for step in shown["steps"]] + [job.ended for job in self.board.jobs.values()]
        ended = max((at for at in times if at), default=None) if self.board.outcome() is not None else None
        return ((ended or datetime.now(UTC)) - began).total_seconds()


def _fitting(steps: list[dict[str, Any]], lines: int) -> list[dict[str, Any] | str]:
    """The steps that fit, in order; runs of settled or waiting ones give way to a count of them."""
    if len(steps) <= lines:
        return list(steps)
    matter = [i for i, step in enumerate(steps) if step["status"] in ("running", "ready", "failed")][
        : max(lines - 2, 1)
    ]
    budget = max(lines - 2 - len(matter), 0)
    first = matter[0] if matter else next((i for i, s in enumerate(steps) if s["status"] == "pending"), len(steps))
    last = matter[-1] if matter else first - 1
    before = set(range(max(first - budget // 2, 0), first))
    after = set(range(last + 1, min(last + 1 + budget - len(before), len(steps))))
    kept = before | set(matter) | after
    fitting: list[dict[str, Any] | str] = []
    left_out: list[dict[str, Any]] = []
    for i, step in enumerate(steps):
        if i in kept:
            fitting += _left_out(left_out)
            left_out = []
            fitting.append(step)
        else:
            left_out.append(step)
    return fitting + _left_out(left_out)


def _left_out(steps: list[dict[str, Any]]) -> list[str]:
    if not steps:
        return []
    counts: dict[str, int] = {}
    for step in steps:
        counts[step["status"]] = counts.get(step["status"], 0) + 1
    return ["… " + ", ".join(f"{many} {status}" for status, many in counts.items())]


def _took(began: datetime | None, ended: datetime | None) -> str:
    return duration(((ended or datetime.now(UTC)) - began).total_seconds()) if began else ""


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
