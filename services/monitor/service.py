"""The monitor's two inputs: batches of reports, each one transaction and then acknowledged; and the sweep."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import msgspec
import structlog
from psycopg import OperationalError

from services.monitor import consequences, decisions, ledger, questions
from shared.bus.bus import MessageChannel
from shared.bus.skipped import Skipped
from shared.config import Settings
from shared.domain.statuses import ENDED_TASK, ON_A_DAEMON, TaskKind
from shared.messages import channels
from shared.messages.channels import ByChannel
from shared.messages.events import (
    AnyEvent,
    DirectiveChanged,
    Event,
    OrderChanged,
    PlanFinished,
    PlanRequested,
    QuestionAnswered,
    SlotsFree,
    StepAdded,
    StepChanged,
    StepReady,
    TaskChanged,
)
from shared.messages.frames import REPORT_REPLIES, REPORTS, read_header
from shared.messages.reports import (
    Ack,
    AnyReport,
    AnyReportReply,
    Goodbye,
    Heartbeat,
    Hello,
    MessageDelivered,
    NotYours,
    OutputBatch,
    Report,
    TaskSucceeded,
)
from shared.service.phase import Surroundings, listen, serve, surroundings
from shared.service.reactor import Reactor
from shared.store.database import UnitOfWork

log = structlog.get_logger()

MOVES_ON: frozenset[type[Event]] = frozenset({DirectiveChanged, StepAdded, TaskChanged})
CONSUMES: frozenset[type[Event]] = MOVES_ON | questions.CONSUMES
EMITS: frozenset[type[Event]] = frozenset(
    {
        TaskChanged,
        StepChanged,
        StepReady,
        PlanFinished,
        PlanRequested,
        DirectiveChanged,
        OrderChanged,
        QuestionAnswered,
        SlotsFree,
    }
)
SENDS: ByChannel = {"reports": frozenset({Ack, NotYours})}
RECEIVES: ByChannel = {"reports": frozenset(channels.REPORTS)}
SQL = consequences.SQL
ANNOUNCE_SECONDS = 2.0
LEASE_CHECK_SECONDS = 2.0

Heard = list[tuple[bytes, AnyReport]]


class Monitor:
    """Takes whatever waits as one batch: one transaction, then one acknowledgement a daemon."""

    def __init__(self, around: Surroundings, reports: MessageChannel) -> None:
        self._around = around
        self._reports = reports
        self._skipped = Skipped()
        self._lease = around.settings.lease_seconds

    async def announce(self) -> None:
        """Tell the broker, again and again, that this monitor takes reports."""
        while True:
            await self._reports.send("monitor.announce", b"ready", b"", b"")
            await asyncio.sleep(ANNOUNCE_SECONDS)

    async def receive(self) -> None:
        """Take in reports, for ever. A batch that can't be written is not acknowledged, and so comes again."""
        while True:
            heard: Heard = []
            for parts in await self._reports.receive_waiting():
                try:
                    _, head, identity, body = parts
                    read_header(head)
                    identity.decode()
                    heard.extend((identity, report) for report in REPORTS.decode(body, self._skipped))
                except ValueError as error:
                    self._skipped(error)
            try:
                await self.take(heard)
            except OperationalError as error:
                log.warning("reports not written; daemons resend them", reports=len(heard), error=str(error))

    async def take(self, heard: Heard) -> None:
        """Write one batch and acknowledge it."""
        refused: list[tuple[bytes, NotYours]] = []
        async with self._around.database.unit_of_work("monitor.take") as unit:
            await self._presence(unit, [r for _, r in heard])
            refused += await self._leases(unit, heard)
            refused += await self._outcomes(unit, heard)
        replies: dict[bytes, list[AnyReportReply]] = {}
        for identity, refusal in refused:
            replies.setdefault(identity, []).append(refusal)
        seqs: dict[bytes, list[int]] = {}
        for identity, report in heard:
            if isinstance(report, Report):
                seqs.setdefault(identity, []).append(report.seq)
        for identity, done in seqs.items():
            replies.setdefault(identity, []).append(Ack(seqs=tuple(done)))
        for identity, answers in replies.items():
            await self._reports.send("monitor.acknowledge", b"acks", identity, REPORT_REPLIES.encode(answers))

    async def _presence(self, unit: UnitOfWork, reports: Sequence[AnyReport]) -> None:
        last = {r.daemon: r for r in reports if isinstance(r, Hello | Goodbye)}
        if came := [r for r in last.values() if isinstance(r, Hello)]:
            columns = {
                "owners": [h.owner for h in came],
                "names": [h.daemon for h in came],
                "labels": [ledger.array(h.labels) for h in came],
                "agents": [ledger.array(h.agents) for h in came],
                "capacities": [h.capacity for h in came],
                "drainings": [h.draining for h in came],
                "drains": [h.drain_asked for h in came],
                "refusals": [h.refuses for h in came],
            }
            await unit.rows(SQL["connect_daemons"], columns)
            unit.record(*(SlotsFree(owner=h.owner, free=h.capacity - len(h.running)) for h in came))
        if went := [r.daemon for r in last.values() if isinstance(r, Goodbye)]:
            await unit.rows(SQL["disconnect_daemons"], {"names": went})

    async def _leases(self, unit: UnitOfWork, heard: Heard) -> list[tuple[bytes, NotYours]]:
        held = [(i, r) for i, h in heard if isinstance(h, Heartbeat | Hello) for r in h.running]
        if not held:
            return []
        columns = {
            "daemons": [i.decode() for i, _ in held],
            "tasks": [r.task for _, r in held],
            "attempts": [r.attempt for _, r in held],
            "lease": self._lease,
        }
        rows = await unit.rows(SQL["renew"], columns)
        return [(r["daemon"].encode(), NotYours(task=r["task"], attempt=r["attempt"])) for r in rows]

    async def _outcomes(self, unit: UnitOfWork, heard: Heard) -> list[tuple[bytes, NotYours]]:
        reports = [
            (i.decode(), r)
            for i, r in heard
            if isinstance(r, Report) and not isinstance(r, OutputBatch | MessageDelivered)
        ]
        if reports:
            tasks = await ledger.read(unit, {r.task for _, r in reports})
            plans = [r.task for _, r in reports if isinstance(r, TaskSucceeded) and _is_plan(tasks.get(r.task))]
            planned = {}
            if plans:
                planned = {
                    row["id"]: row["added"] + row["kept"] for row in await unit.rows(SQL["planned"], {"tasks": plans})
                }
            chances = [self._around.chance.random() for _ in reports]
            decided, refused = decisions.decide(reports, tasks, planned, chances)
            await ledger.write(unit, list(decided.values()), self._lease, self._around.new_id)
        else:
            refused = []
        await self._messages(unit, [r for _, r in heard if isinstance(r, MessageDelivered)])
        await self._output(unit, [r for _, r in heard if isinstance(r, OutputBatch)])
        return [(daemon.encode(), refusal) for daemon, refusal in refused]

    async def _messages(self, unit: UnitOfWork, delivered: Sequence[MessageDelivered]) -> None:
        if delivered:
            columns = {"messages": [d.message for d in delivered], "hows": [d.how for d in delivered]}
            await unit.rows(SQL["messages_delivered"], columns)

    async def _output(self, unit: UnitOfWork, batches: Sequence[OutputBatch]) -> None:
        if batches:
            columns = {
                "tasks": [b.task for b in batches],
                "attempts": [b.attempt for b in batches],
                "firsts": [b.first for b in batches],
                "lasts": [b.first + len(b.lines) - 1 for b in batches],
                "events": [msgspec.json.encode(b.lines).decode() for b in batches],
            }
            await unit.rows(SQL["output"], columns)

    async def reconcile(self, directives: frozenset[UUID] | None) -> None:
        """Lost leases, cancelled tasks that never ran, readiness and idleness: the safety net, and people's changes."""
        chosen = None if directives is None else list(directives)
        async with self._around.database.unit_of_work("monitor.reconcile") as unit:
            due = []
            if directives is None:
                lost = [row["id"] for row in await unit.rows(SQL["lost"])]
                due += [decisions.lost(task) for task in (await ledger.read(unit, lost)).values()] if lost else []
            asked = {
                row["id"]: row["cancel_asked"] for row in await unit.rows(SQL["cancelled"], {"directives": chosen})
            }
            if asked:
                tasks = await ledger.read(unit, asked)
                due += [decisions.cancelled(task, asked[task.id]) for task in tasks.values()]
            await ledger.write(unit, due, self._lease, self._around.new_id)
            await consequences.hold_to_budgets(unit, chosen)
            await consequences.advance_all(unit, chosen)


def wakes(event: AnyEvent) -> Sequence[UUID | None]:
    """A task's changes are this service's own words, but for one that somebody cancels before it ran."""
    if isinstance(event, TaskChanged) and event.status in (ON_A_DAEMON | ENDED_TASK):
        return ()
    return (event.directive,)


def _is_plan(task: decisions.Known | None) -> bool:
    return task is not None and task.kind is TaskKind.PLAN


async def run(around: Surroundings, stop: asyncio.Event) -> None:
    """Monitor until `stop` is set."""
    monitor = Monitor(around, around.bus.channel("reports", "monitor"))
    sweep = min(around.settings.sweep_seconds, LEASE_CHECK_SECONDS)
    reactor = Reactor(monitor.reconcile, sweep, around.chance)
    asking = Reactor(lambda d: questions.reconcile(around, d), sweep, around.chance)
    around.ready()
    await serve(
        reactor,
        stop,
        listen(around, MOVES_ON, reactor, wakes),
        listen(around, questions.CONSUMES, asking),
        asking.run(stop),
        monitor.announce(),
        monitor.receive(),
    )


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Run the monitor's process until `stop` is set."""
    async with surroundings(settings, "monitor", EMITS) as around:
        await run(around, stop)
