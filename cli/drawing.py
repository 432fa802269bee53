"""A watched directive drawn for a terminal: what is done, what runs and its agent's last line, what waits for what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli.board import JOBS, Board, Job, waits
from cli.reviewing import looking
from cli.text import amount, clean, duration, numbered
from shared.api.steps import StepShown
from shared.domain.statuses import Standing, StepStatus
from shared.domain.texts import dollars

MARKS = {
    "starting": ("●", "yellow"),
    "paused": ("●", "yellow"),
    "pending": ("○", "bright_black"),
    "ready": ("◔", "cyan"),
    "running": ("●", "yellow"),
    "completed": ("✔", "green"),
    "failed": ("✘", "red"),
    "skipped": ("↷", "bright_black"),
    "cancelled": ("⊘", "bright_black"),
}
STYLES = {
    Standing.WAITING: "bold magenta", Standing.AWAITING_APPROVAL: "bold magenta", Standing.PAUSED: "bold red",
    Standing.PULL_REQUEST_OPEN: "bold green", Standing.DELIVERED: "bold green", Standing.MERGED: "bold green",
    Standing.COMPLETED: "bold green", Standing.ARCHIVED: "bright_black", Standing.DRAFT: "bold",
}  # fmt: skip
"""Of where a directive stands; what isn't here is under way."""
HEAD_AND_FOOT_LINES = 8
_S = StepStatus


class Drawing:
    """Draws a board anew each time it is asked, within the terminal's height."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._spinner = Spinner("dots", style="yellow")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What rich draws."""
        height = (options.height or console.height) - HEAD_AND_FOOT_LINES
        foot = list(self._foot()) or [Text("")]  # a last line that is full would push what Ctrl-C echoes to one more
        yield Group(*self._head(), Text(""), self._steps(max(height, 4)), *foot)

    def _head(self) -> Iterable[RenderableType]:
        shown, counts = self.board.directive, self.board.counts()
        head = Table.grid(expand=True, padding=(0, 1))
        head.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
        head.add_column(justify="right", no_wrap=True)
        status = Text(shown.standing, style=STYLES.get(shown.standing, "bold yellow"))
        spent = [duration(self._elapsed())]
        if shown.tokens:
            spent += [f"{amount(shown.tokens)} tokens", dollars(shown.cost_usd)]
        status.append("  " + " · ".join(spent), style="default")
        head.add_row(Text(clean(shown.title), style="bold"), status)
        yield head
        all_of, done = sum(counts.values()), counts[StepStatus.COMPLETED] + counts[StepStatus.SKIPPED]
        if all_of:
            said = [f"{done} of {all_of} steps done"]
            said += [f"{counts[status]} {status}" for status in (_S.RUNNING, _S.READY, _S.FAILED) if counts[status]]
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
        steps = self.board.directive.steps
        names = {step.id: clean(step.name) for step in steps}
        done = {step.id for step in steps if step.status in ("completed", "skipped")}
        for part in _fitting(steps, height - len(jobs)):
            if isinstance(part, str):
                table.add_row("", Text(part, style="bright_black"))
            else:
                needs = [names[i] for i in part.depends_on if i not in done and i in names]
                self._step(table, part, needs or self._phase_before(part))
        for job in (j for j in jobs if j.kind != "plan"):
            self._job(table, job)
        return table

    def _phase_before(self, step: StepShown) -> list[str]:
        """The earlier phases that still hold a step back, in words."""
        left = {
            s.order_index
            for s in self.board.directive.steps
            if s.order_index < step.order_index and s.status in ("pending", "ready", "running")
        }
        return [f"phase {max(left)}"] if left else []

    def _step(self, table: Table, step: StepShown, waits_for: list[str]) -> None:
        style = MARKS[step.status][1]
        running = step.status == "running"
        took = _took(step.started_at, step.ended_at) if step.status != "pending" else ""
        if running:
            note = Text(self._last_line(step.task_id), style="default")
            where = step.daemon or ""
            note = Text.assemble((where, "cyan"), "  " if where else "", note)
            if step.attempts > 1:
                note = Text.assemble((f"attempt {step.attempts}  ", "magenta"), note)
        elif step.status == "failed":
            note = Text(clean(step.reason or ""), style="red")
        elif step.waiting_reason and step.status in ("pending", "ready"):
            note = Text(clean(step.waiting_reason), style="magenta")
        elif waits_for:
            note = Text(f"after {', '.join(waits_for)}", style="bright_black")
        else:
            note = Text(step.daemon or "", style="bright_black")
        name = Text(clean(step.name), style="bold" if running else "bright_black" if style == "bright_black" else "")
        table.add_row(self._mark(running, step.status), name, Text(took, style="bright_black"), note)

    def _job(self, table: Table, job: Job) -> None:
        live = job.is_live
        line = self.board.last_lines.get(job.task, "") if live else ""
        note = Text(clean(job.reason), style="red") if job.reason and job.status == "failed" else Text(line)
        if job.daemon:
            note = Text.assemble((job.daemon, "cyan" if live else "bright_black"), "  ", note)
        took = _took(job.began, job.ended)
        name = Text(JOBS[job.kind], style="italic bold" if live else "italic")
        table.add_row(self._mark(live, job.status), name, Text(took, style="bright_black"), note)

    def _mark(self, runs: bool, status: str) -> RenderableType:
        """A spinner while it runs; in the last frame nothing moves, and what an archived directive ran is ended."""
        if runs and self.board.outcome() is None:
            return self._spinner
        archived = self.board.directive.standing is Standing.ARCHIVED
        mark, style = MARKS["cancelled" if runs and archived else "running" if runs else status]
        return Text(mark, style=style)

    def _foot(self) -> Iterable[RenderableType]:
        shown, why = self.board.directive, self.board.why
        if self.board.outcome() == 0:
            yield Text("")
            where = shown.pr_url or shown.pr_branch or "no branch: its outcome is that of its last step"
            yield Text.assemble(("✔ ", "green"), (f"{shown.standing}  ", "bold green"), where)
            if command := looking(shown):
                yield Text(f"  {command}", style="bright_black")
        elif why is not None and not self.board.questions:
            said, *commands = waits(why)
            stopped = self.board.outcome() is not None
            yield Text("")
            yield Text.assemble(
                ("✘ ", "red") if stopped else ("! ", "magenta"), (said, "red" if stopped else "magenta")
            )
            yield from (Text(command, style="bright_black") for command in commands)
        elif shown.pause_reason:
            yield Text("")
            yield Text.assemble(("✘ ", "red"), (clean(shown.pause_reason), "red"))
        for question in self.board.questions:
            yield Text.assemble(("? ", "magenta"), clean(question.text))
            yield from (Text(f"    {line}") for line in numbered(question.options))
            answer = "N" if question.options else "TEXT"
            yield Text(f"  makima answer {question.called} {answer}", style="bright_black")
        if self.board.trouble:
            yield Text(self.board.trouble, style="magenta")

    def _last_line(self, task: UUID | None) -> str:
        return self.board.last_lines.get(task, "") if task else ""

    def _elapsed(self) -> float:
        shown = self.board.directive
        began = self.board.first or shown.created_at
        times = [step.ended_at for step in shown.steps] + [job.ended for job in self.board.jobs.values()]
        ended = max((at for at in times if at), default=None) if self.board.outcome() is not None else None
        return ((ended or datetime.now(UTC)) - began).total_seconds()


def _fitting(steps: Sequence[StepShown], lines: int) -> list[StepShown | str]:
    """The steps that fit, in order; runs of settled or waiting ones give way to a count of them."""
    if len(steps) <= lines:
        return list(steps)
    matter = [i for i, step in enumerate(steps) if step.status in ("running", "ready", "failed")][: max(lines - 2, 1)]
    budget = max(lines - 2 - len(matter), 0)
    first = matter[0] if matter else next((i for i, s in enumerate(steps) if s.status == "pending"), len(steps))
    last = matter[-1] if matter else first - 1
    before = set(range(max(first - budget // 2, 0), first))
    after = set(range(last + 1, min(last + 1 + budget - len(before), len(steps))))
    kept = before | set(matter) | after
    fitting: list[StepShown | str] = []
    left_out: list[StepShown] = []
    for i, step in enumerate(steps):
        if i in kept:
            fitting += _left_out(left_out)
            left_out = []
            fitting.append(step)
        else:
            left_out.append(step)
    return fitting + _left_out(left_out)


def _left_out(steps: Sequence[StepShown]) -> list[str]:
    if not steps:
        return []
    counts: dict[str, int] = {}
    for step in steps:
        counts[step.status] = counts.get(step.status, 0) + 1
    return ["… " + ", ".join(f"{many} {status}" for status, many in counts.items())]


def _took(began: datetime | None, ended: datetime | None) -> str:
    return duration(((ended or datetime.now(UTC)) - began).total_seconds()) if began else ""
