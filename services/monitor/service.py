"""The monitor's two inputs: batches of reports, each one transaction and then acknowledged; and the sweep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial
from uuid import UUID

import structlog

from services.monitor import consequences, decisions, ledger, questions, rows, telling
from services.monitor.decisions import Decision
from services.monitor.retention import retain
from shared.bus.bus import MessageChannel
from shared.bus.skipped import Skipped
from shared.config import Settings
from shared.domain.policies import planned_something
from shared.domain.statuses import DirectiveStatus, TaskKind, TaskStatus
from shared.messages import channels
from shared.messages.channels import ByChannel
from shared.messages.events import (
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
    StepRemoved,
    TaskChanged,
)
from shared.messages.frames import REPORT_REPLIES, REPORTS, read_header
from shared.messages.identities import DaemonOf, daemon_of, identity_of
from shared.messages.reports import (
    Ack,
    AnyReport,
    AnyReportReply,
    Goodbye,
    Heartbeat,
    Hello,
    Identify,
    MessageDelivered,
    NotYours,
    OutputBatch,
    Report,
    TaskSucceeded,
)
from shared.messages.topics import ALL, Consumes
from shared.messages.unreadable import UNREADABLE
from shared.metrics import HOPS
from shared.service.leadership import lead
from shared.service.phase import Context, listen, open_context, serve
from shared.service.reactor import Reactor
from shared.store.database import UNAVAILABLE, UNHOLDABLE, UnitOfWork
from shared.store.values import as_array

log = structlog.get_logger()

MOVES_ON: Consumes = {
    DirectiveChanged: (f"{DirectiveStatus.ACTIVE}/", f"{DirectiveStatus.AWAITING_APPROVAL}/"),
    StepAdded: ALL,
    TaskChanged: ("asked/", f"{TaskStatus.PENDING}/"),
}
"""A task's changes are this service's own words, but for one that somebody cancels before it ran; and only in an active
directive is there something to move on, or a deadline."""
CONSUMES: Consumes = {**MOVES_ON, **questions.CONSUMES}
EMITS: frozenset[type[Event]] = frozenset(
    {
        TaskChanged,
        StepChanged,
        StepReady,
        StepRemoved,
        PlanFinished,
        PlanRequested,
        DirectiveChanged,
        OrderChanged,
        QuestionAnswered,
        SlotsFree,
    }
)
SENDS: ByChannel = {"reports": frozenset({Ack, NotYours, Identify})}
RECEIVES: ByChannel = {"reports": frozenset(channels.REPORTS)}
ANNOUNCE_SECONDS = 2.0
LEASE_CHECK_SECONDS = 2.0
TELL_BYTES = 16 << 20
"""The broker hears at once that so much more was taken: it hands on only so much that wasn't."""

Heard = list[tuple[bytes, AnyReport]]
DaemonAttempt = tuple[bytes, UUID, int]
"""A daemon's identity, a task, and the number of an attempt of it."""


class Monitor:
    """Takes whatever waits as one batch: one transaction, then one acknowledgement a daemon."""

    def __init__(self, context: Context, reports: MessageChannel) -> None:
        self._context = context
        self._reports = reports
        self._skipped = Skipped()
        self._taken = 0
        self._told = 0
        """Bytes of reports that were taken in, and what the broker was last told of that."""
        self._own = context.settings.owner
        self._lease = context.settings.lease_seconds
        self._unwritten: set[bytes] = set()
        """Daemons whose Hello could not be written."""
        self._able_since = asyncio.get_running_loop().time()
        """Since when reports could be written: what wasn't heard before that doesn't count as silence."""

    async def announce(self) -> None:
        """Tell the broker, again and again, that this monitor takes reports."""
        while True:
            await self._say_ready()
            await asyncio.sleep(ANNOUNCE_SECONDS)

    async def _say_ready(self) -> None:
        self._told = self._taken
        await self._reports.send("monitor.announce", b"ready", b"", b"%d" % self._taken)

    async def receive(self) -> None:
        """Take in reports, for ever. A batch that can't be written is not acknowledged, and so comes again."""
        while True:
            heard: Heard = []
            waiting = await self._reports.receive_waiting()
            began = time.perf_counter()
            for parts in waiting:
                try:
                    _, head, identity, body = parts
                    read_header(head)
                    identity.decode()
                    self._taken += len(body)
                    heard.extend((identity, report) for report in REPORTS.decode(body, self._skipped))
                except UNREADABLE as error:
                    self._skipped(error)
            try:
                await self.take(heard)
                HOPS.add(time.perf_counter() - began)
                await self._ask_again()
            except UNHOLDABLE:
                await self._take_apart(heard)
            except UNAVAILABLE as error:
                self._able_since = asyncio.get_running_loop().time()
                self._unwritten |= {identity for identity, report in heard if isinstance(report, Hello)}
                log.warning("reports not written; daemons resend them", reports=len(heard), error=str(error))
            if self._taken - self._told > TELL_BYTES:
                await self._say_ready()

    async def _ask_again(self) -> None:
        """A Hello, unlike a report, is said once: have those say it again whose last one could not be written."""
        unwritten, self._unwritten = self._unwritten, set()
        await self._answer({identity: [Identify()] for identity in unwritten})

    async def _take_apart(self, heard: Heard) -> None:
        """Take reports one by one: one that Postgres can't hold must not keep the others from being written."""
        for identity, report in heard:
            try:
                await self.take([(identity, report)])
            except UNHOLDABLE as error:
                log.error("report dropped: it can't be written", report=type(report).__name__, error=str(error))
                if isinstance(report, Report):
                    await self._answer({identity: [Ack(seqs=(report.seq,))]})
            except UNAVAILABLE as error:
                log.warning("report not written; its daemon resends it", error=str(error))

    async def take(self, heard: Heard) -> None:
        """Write one batch and acknowledge it."""
        refused: list[tuple[bytes, NotYours]] = []
        due: list[Decision] = []
        async with self._context.database.unit_of_work("monitor.take") as unit:
            self._presence(unit, heard)
            unknown = await self._signs_of_life(unit, heard)
            refused += await self._leases(unit, heard)
            self._messages(unit, heard)
            refused += await self._outcomes(unit, heard, due)
            not_theirs, early = await self._output(unit, heard)
            refused += not_theirs
        replies: dict[bytes, list[AnyReportReply]] = {}
        for to, refusal in refused:
            replies.setdefault(to, []).append(refusal)
        seqs: dict[bytes, list[int]] = {}
        for to, report in heard:
            if isinstance(report, OutputBatch) and (to, report.task, report.attempt) in early:
                continue
            if isinstance(report, Report):
                seqs.setdefault(to, []).append(report.seq)
        for to, done in seqs.items():
            replies.setdefault(to, []).append(Ack(seqs=tuple(done)))
        for to in unknown:
            replies.setdefault(to, []).append(Identify())
        await self._answer(replies)
        telling.tell(due, unit.events)

    async def _answer(self, replies: Mapping[bytes, Sequence[AnyReportReply]]) -> None:
        for identity, answers in replies.items():
            await self._reports.send("monitor.acknowledge", b"acks", identity, REPORT_REPLIES.encode(answers))

    def _of(self, identity: bytes) -> DaemonOf:
        return daemon_of(identity.decode(), self._own)

    def _identity(self, daemon: DaemonOf) -> bytes:
        return identity_of(daemon, self._own).encode()

    def _presence(self, unit: UnitOfWork, heard: Heard) -> None:
        last = {(r.owner or self._own, r.daemon): r for _, r in heard if isinstance(r, Hello | Goodbye)}
        if came := [r for r in last.values() if isinstance(r, Hello)]:
            unit.execute(
                rows.CONNECT_DAEMONS(
                    owners=[h.owner for h in came],
                    names=[h.daemon for h in came],
                    labels=[as_array(h.labels) for h in came],
                    agents=[as_array(h.agents) for h in came],
                    capacities=[h.capacity for h in came],
                    drainings=[h.draining for h in came],
                    drains=[h.drain_asked for h in came],
                    refusals=[h.refuses for h in came],
                )
            )
            unit.record(*(SlotsFree(owner=h.owner, free=max(h.capacity - len(h.running), 0)) for h in came))
        if went := [who for who, r in last.items() if isinstance(r, Goodbye)]:
            unit.execute(rows.DISCONNECT_DAEMONS(owners=[o for o, _ in went], names=[name for _, name in went]))

    async def _signs_of_life(self, unit: UnitOfWork, heard: Heard) -> list[bytes]:
        """Note who is heard; the identities of those that have to say Hello, as theirs never came to be written."""
        beats = [self._of(i) for i, h in heard if isinstance(h, Heartbeat)]
        if not beats:
            return []
        owners, names = [b.owner for b in beats], [b.name for b in beats]
        stale = self._context.settings.lost_seconds / 2
        silent = await unit.fetch(rows.HEARD(owners=owners, names=names, stale=stale))
        return [self._identity(DaemonOf(one.owner, one.name)) for one in silent]

    async def _leases(self, unit: UnitOfWork, heard: Heard) -> list[tuple[bytes, NotYours]]:
        held = [(self._of(i), r) for i, h in heard if isinstance(h, Heartbeat | Hello) for r in h.running]
        if not held:
            return []
        not_theirs = await unit.fetch(
            rows.RENEW(
                owners=[daemon.owner for daemon, _ in held],
                daemons=[daemon.name for daemon, _ in held],
                tasks=[r.task for _, r in held],
                attempts=[r.attempt for _, r in held],
                lease=self._lease,
            )
        )
        return [
            (self._identity(DaemonOf(one.owner, one.daemon)), NotYours(task=one.task, attempt=one.attempt))
            for one in not_theirs
        ]

    async def _outcomes(self, unit: UnitOfWork, heard: Heard, due: list[Decision]) -> list[tuple[bytes, NotYours]]:
        """Write what became of tasks, which is `due`. With nothing left to be written after it, commit it as well."""
        reports = [
            (self._of(i), r)
            for i, r in heard
            if isinstance(r, Report) and not isinstance(r, OutputBatch | MessageDelivered)
        ]
        if not reports:
            return []
        tasks = await ledger.read(unit, {r.task for _, r in reports})
        jitters = [self._context.rng.random() for _ in reports]
        decided, refused = decisions.decide(reports, tasks, await _planned(unit, reports, tasks), jitters)
        due += decided.values()
        if due and all(map(ledger.ordinary, due)) and not any(isinstance(r, OutputBatch) for _, r in heard):
            await ledger.write_last(unit, due, self._lease)
        else:
            await ledger.write(unit, due, self._lease, self._context.new_id)
        return [(self._identity(daemon), refusal) for daemon, refusal in refused]

    def _messages(self, unit: UnitOfWork, heard: Heard) -> None:
        delivered = [(self._of(i), r) for i, r in heard if isinstance(r, MessageDelivered)]
        if delivered:
            unit.execute(
                rows.MESSAGES_DELIVERED(
                    owners=[daemon.owner for daemon, _ in delivered],
                    daemons=[daemon.name for daemon, _ in delivered],
                    tasks=[d.task for _, d in delivered],
                    attempts=[d.attempt for _, d in delivered],
                    messages=[d.message for _, d in delivered],
                    hows=[d.how for _, d in delivered],
                )
            )

    async def _output(self, unit: UnitOfWork, heard: Heard) -> tuple[list[tuple[bytes, NotYours]], set[DaemonAttempt]]:
        """Keep output; refusals, and whose output came before its attempt was known: it is to come again."""
        batches = [(self._of(i), r) for i, r in heard if isinstance(r, OutputBatch)]
        if not batches:
            return [], set()
        unkept = await unit.fetch(
            rows.OUTPUT(
                owners=[daemon.owner for daemon, _ in batches],
                daemons=[daemon.name for daemon, _ in batches],
                tasks=[b.task for _, b in batches],
                attempts=[b.attempt for _, b in batches],
                firsts=[b.first for _, b in batches],
                lasts=[b.first + len(b.lines) - 1 for _, b in batches],
                events=[b.lines for _, b in batches],
            )
        )
        said = {(self._identity(DaemonOf(one.owner, one.daemon)), one.task, one.attempt): one.early for one in unkept}
        early = {attempt for attempt, is_early in said.items() if is_early}
        refused = said.keys() - early
        return [(i, NotYours(task=task, attempt=attempt)) for i, task, attempt in sorted(refused)], early

    async def reconcile(self, directives: frozenset[UUID] | None) -> None:
        """Lost leases, cancelled tasks that never ran, readiness and idleness: the safety net, and people's changes."""
        chosen = None if directives is None else list(directives)
        async with self._context.database.unit_of_work("monitor.reconcile") as unit:
            due: list[Decision] = []
            if directives is None:
                await self._unheard(unit)
                lost = await unit.fetch(rows.LOST())
                due += [decisions.lost(task) for task in (await ledger.read(unit, lost)).values()] if lost else []
            asked = {task.id: task.cancel_asked for task in await unit.fetch(rows.CANCELLED(directives=chosen))}
            if asked:
                tasks = await ledger.read(unit, asked)
                due += [decisions.cancelled(task, asked[task.id]) for task in tasks.values()]
            await ledger.write(unit, due, self._lease, self._context.new_id)
            await consequences.hold_to_budgets(unit, chosen)
            await consequences.advance_all(unit, chosen)
        telling.tell(due, unit.events)

    async def _unheard(self, unit: UnitOfWork) -> None:
        after = 3 * self._context.settings.lost_seconds
        if asyncio.get_running_loop().time() - self._able_since > after:
            for name in await unit.fetch(rows.DISCONNECT_UNHEARD(after=after)):
                log.info("daemon unheard of", daemon=name)


async def _planned(
    unit: UnitOfWork, reports: Sequence[tuple[DaemonOf, Report]], tasks: Mapping[UUID, decisions.Known]
) -> dict[UUID, bool]:
    """Of the plannings that ended well, whether each planned something."""
    plans = [r.task for _, r in reports if isinstance(r, TaskSucceeded) and _is_plan(tasks.get(r.task))]
    found = await unit.fetch(rows.PLANNED(tasks=plans)) if plans else []
    return {plan.id: planned_something(plan.added, plan.kept) for plan in found}


def _is_plan(task: decisions.Known | None) -> bool:
    return task is not None and task.kind is TaskKind.PLAN


async def run(context: Context, stop: asyncio.Event) -> None:
    """Monitor until `stop` is set, while this monitor leads."""
    context.ready()
    await lead(context.leadership, stop, partial(_work, context))


async def _work(context: Context, stop: asyncio.Event) -> None:
    reports = context.bus.channel("reports", "monitor")
    monitor = Monitor(context, reports)
    sweep = min(context.settings.sweep_seconds, LEASE_CHECK_SECONDS)
    reactor = Reactor(monitor.reconcile, sweep, context.rng)
    asking = Reactor(partial(questions.reconcile, context), sweep, context.rng)
    try:
        await serve(
            reactor,
            stop,
            partial(listen, context, MOVES_ON, reactor),
            partial(listen, context, questions.CONSUMES, asking),
            partial(asking.run, stop),
            monitor.announce,
            monitor.receive,
            partial(retain, context),
        )
    finally:
        reports.close()


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Run the monitor's process until `stop` is set."""
    async with open_context(settings, "monitor", EMITS, promises=True) as context:
        await run(context, stop)
