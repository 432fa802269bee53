"""Execution: claim what is due within the free slots, then send it. The claim commits before the command goes out."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from uuid import UUID

import structlog

from services.executor import rows
from services.executor.rows import DueStep, Task
from services.executor.tasks import claim, of_step, spawn, starting, still_waiting
from shared.bus.bus import MessageChannel
from shared.bus.skipped import Skipped
from shared.config import Settings
from shared.domain.statuses import ENDED_TASK, DirectiveStatus, Refusal, TaskStatus
from shared.messages import channels
from shared.messages.channels import ByChannel
from shared.messages.commands import AnyCommand, CancelTask, Drain, SpawnTask, TellTask, Unroutable
from shared.messages.events import (
    AnyEvent,
    DaemonConnected,
    DirectiveChanged,
    Event,
    SlotsFree,
    StepReady,
    TaskChanged,
    TaskCreated,
)
from shared.messages.frames import COMMANDS, LIMIT_BYTES, REPLIES, read_header
from shared.messages.topics import ALL, Consumes
from shared.metrics import SENT
from shared.service.leadership import lead
from shared.service.phase import Context, listen, open_context, serve
from shared.service.reactor import Reactor
from shared.service.tokens import load_secret
from shared.store.database import UNAVAILABLE, UNHOLDABLE, UnitOfWork

log = structlog.get_logger()

CONSUMES: Consumes = {
    StepReady: ALL,
    TaskCreated: ALL,
    TaskChanged: ("asked/", *(f"{status}/" for status in sorted(ENDED_TASK | {TaskStatus.PENDING}))),
    DirectiveChanged: (f"{DirectiveStatus.ACTIVE}/",),
    SlotsFree: ALL,
    DaemonConnected: ALL,
}
EMITS: frozenset[type[Event]] = frozenset({TaskCreated, TaskChanged})
SENDS: ByChannel = {"commands": frozenset({SpawnTask, CancelTask, TellTask, Drain})}
RECEIVES: ByChannel = {"commands": frozenset(channels.REPLIES)}
SPAWNS_A_MESSAGE = 50
CANCELS_A_MESSAGE = 1000
ACCEPTED_WITHIN_SECONDS = 2.5
ASK_AGAIN_SECONDS = 0.2
"""So soon what no daemon could take is asked for again, at first; later as rarely as the next says."""
LONGEST_ASK_AGAIN_SECONDS = 15.0
TOO_LARGE = f"its command is larger than a frame may be ({LIMIT_BYTES} bytes); shorten its texts"


class Executor:
    """Everything that is due is asked for at once: slots are shared by all of an owner's directives."""

    def __init__(self, context: Context, commands: MessageChannel) -> None:
        self._context = context
        self._commands = commands
        self._skipped = Skipped()
        self._secret = load_secret(context.settings.home)
        self._refused = True
        """Whether tasks may wait that no daemon could take; those of an earlier life aren't known yet."""
        self._freed = False
        self._freed_at = -math.inf
        """When a slot or a daemon last came; and whether what was refused has still to hear of it."""
        self._short = True
        """Whether the last look may have left something for want of a slot, which each end of a task frees."""
        self._ended: set[UUID | None] = set()
        """Directives of which a task ended since that look began: it may not have seen their slots."""
        self.reactor = Reactor(self.reconcile, context.settings.sweep_seconds, context.rng)

    async def reconcile(self, directives: frozenset[UUID] | None) -> None:
        """Dispatch whatever is due; woken for all, also send again, pass on cancellations, see what waits."""
        database = self._context.database
        if directives is None:  # before the claim: what becomes due in between would be seen by neither
            look = await database.fetch_one(rows.NEXT_LOOK(after=ACCEPTED_WITHIN_SECONDS))
            if look.seconds is not None:
                self.reactor.wake_within(look.seconds)
        self._ended.clear()
        try:
            due, (pending,) = await database.fetch_all(rows.DUE_STEPS(), rows.PENDING())
            if pending or self._freed:
                await self._claim_pending()
                due = await database.fetch(rows.DUE_STEPS())  # within the slots that are left
            if due:
                await self._claim_steps(due)
            self._short = pending or short(due)
            if self._short and self._ended:
                self.reactor.wake(self._ended)
            if directives is None:
                await self._send(await database.fetch(rows.UNACCEPTED(after=ACCEPTED_WITHIN_SECONDS)))
        finally:  # also where nothing can be written: the end of what runs is asked for all the same
            if directives is None:
                await self._pass_on()

    async def _pass_on(self) -> None:
        """What people ask of running tasks and of daemons: rows promise it, again and again until it is done."""
        cancels, messages, drains = await self._context.database.fetch_all(
            rows.CANCELS(), rows.MESSAGES(), rows.DRAINS()
        )
        asked: list[AnyCommand] = [
            CancelTask(task=c.id, attempt=c.attempt, owner=c.owner, reason=c.cancel_asked or "") for c in cancels
        ]
        asked += [
            TellTask(task=m.task_id, attempt=m.attempt, owner=m.owner, message=m.id, text=m.text) for m in messages
        ]
        asked += [Drain(owner=d.owner, daemon=d.name, on=d.drain_asked) for d in drains]
        for body in COMMANDS.bodies(asked, CANCELS_A_MESSAGE)[0]:
            await self._commands.send("executor.cancel", b"commands", body)
        if asked:
            self.reactor.wake_within(ACCEPTED_WITHIN_SECONDS)

    async def _claim_pending(self) -> None:
        """Claim tasks that wait: plans, retries, deliveries. What is claimed is sent before all else is told of it."""
        async with self._context.database.unit_of_work("executor.claim") as unit:
            if self._freed:
                await self._recall(unit)
            claimed = await unit.fetch(rows.CLAIM_PENDING(lease=self._context.settings.lease_seconds))
            unit.record(*(starting(task) for task in claimed if not task.asked_again))
            unit.after_commit(partial(self._send, claimed))
        _tell_sent([task for task in claimed if not task.asked_again])

    async def _claim_steps(self, due: Sequence[DueStep]) -> None:
        """Make tasks of the steps that are due: each is the claim of its step. Send those that nobody was faster at."""
        tasks = {
            task.id: task for task in (of_step(step, self._context.new_id(), self._context.settings) for step in due)
        }
        async with self._context.database.unit_of_work("executor.claim_steps") as unit:
            claims = [claim(task) for task in tasks.values()]
            claimed = await unit.fetch_last(rows.CLAIM_STEPS(tasks=claims, lease=self._context.settings.lease_seconds))
            unit.announce(*(starting(tasks[task]) for task in claimed))
            unit.after_commit(partial(self._send, [tasks[task] for task in claimed]))
        _tell_sent([tasks[task] for task in claimed])

    async def _recall(self, unit: UnitOfWork) -> None:
        if self._refused:
            refused = await unit.fetch(rows.RECALL(apart=ASK_AGAIN_SECONDS))
            self._refused = bool(refused)
            if refused:
                self.reactor.wake_within(max(0.0, *refused))
        self._freed = False

    async def _send(self, tasks: Sequence[Task]) -> None:
        if not tasks:
            return
        self.reactor.wake_within(ACCEPTED_WITHIN_SECONDS)
        spawns = [spawn(task, self._context.settings, self._secret) for task in tasks]
        bodies, too_large = COMMANDS.bodies(spawns, SPAWNS_A_MESSAGE)
        for body in bodies:
            await self._commands.send("executor.spawn", b"commands", body)
        if too_large:
            refused = [
                Unroutable(task=s.task, attempt=s.attempt, reason=TOO_LARGE, refusal=Refusal.TOO_LARGE)
                for s in too_large
                if isinstance(s, SpawnTask)
            ]
            await self._put_back(refused, first_seconds=60.0, longest_seconds=3600.0)

    async def receive_replies(self) -> None:
        """Put back what the broker could not route, for ever."""
        while True:
            for parts in await self._commands.receive_waiting():
                try:
                    _, head, body = parts
                    read_header(head)
                    replies = REPLIES.decode(body, self._skipped)
                except ValueError as error:
                    self._skipped(error)
                    continue
                if refused := [r for r in replies if isinstance(r, Unroutable)]:
                    try:
                        await self._put_back(refused)
                    except (*UNHOLDABLE, *UNAVAILABLE) as error:
                        log.warning("not put back; sent again when unaccepted", tasks=len(refused), error=str(error))

    async def _put_back(
        self,
        refused: Sequence[Unroutable],
        first_seconds: float = ASK_AGAIN_SECONDS,
        longest_seconds: float = LONGEST_ASK_AGAIN_SECONDS,
    ) -> None:
        if asyncio.get_running_loop().time() - self._freed_at < ACCEPTED_WITHIN_SECONDS:
            longest_seconds = first_seconds  # what came free may have come after they were refused
        async with self._context.database.unit_of_work("executor.put_back") as unit:
            waiting = await unit.fetch(
                rows.PUT_BACK(
                    tasks=[r.task for r in refused],
                    attempts=[r.attempt for r in refused],
                    refusals=[r.refusal for r in refused],
                    reasons=[r.reason for r in refused],
                    first=first_seconds,
                    longest=longest_seconds,
                )
            )
            unit.record(*(still_waiting(task) for task in waiting if task.changed))
        for task in waiting:
            if task.changed:
                log.info("task waits", task=task.id, directive=task.directive_id, reason=task.waiting_reason)
        self._refused = self._refused or bool(waiting)
        self.reactor.wake([None])

    def wakes(self, event: AnyEvent) -> Sequence[UUID | None]:
        """What an event wakes for; one that frees a slot also lets what was refused be asked for again."""
        if _frees(event):
            self._freed = self._freed or self._refused
            self._freed_at = asyncio.get_running_loop().time()
        if _ends(event):
            self._ended.add(event.directive)
            return (event.directive,) if self._short or self._freed else ()
        return wakes(event)


def wakes(event: AnyEvent) -> Sequence[UUID | None]:
    """A directive means: claim what is due. None means to look at everything, for what isn't a task's ordinary way."""
    match event:
        case StepReady() | TaskCreated() | DirectiveChanged():
            return (event.directive,)
        case TaskChanged() if _ends(event):
            return (event.directive,)
        case _:
            return (None,)


def _tell_sent(tasks: Sequence[Task]) -> None:
    """One line for all that one claim sent."""
    if not tasks:
        return
    for task in tasks:
        SENT.add(task.kind)
    log.info("tasks sent", tasks=[task.id for task in tasks], directives=list({task.directive_id for task in tasks}))


def short(due: Sequence[DueStep]) -> bool:
    """Whether more may wait for a slot: these are none, or as many as their owner or directive may have, or not all."""
    owners, directives = Counter(s.owner_id for s in due), Counter(s.directive_id for s in due)
    return not due or any(
        s.others_wait or owners[s.owner_id] >= s.free or directives[s.directive_id] >= s.parallel for s in due
    )


def _ends(event: AnyEvent) -> bool:
    """Whether a task has ended: what waits for its slot may go, and nothing else follows from it here."""
    return isinstance(event, TaskChanged) and event.status in ENDED_TASK and not event.asked


def _frees(event: AnyEvent) -> bool:
    """Whether a daemon may take now what none could take before."""
    match event:
        case SlotsFree() | DaemonConnected():
            return True
        case TaskChanged(status=status):
            return status in ENDED_TASK
        case _:
            return False


async def run(context: Context, stop: asyncio.Event) -> None:
    """Execute until `stop` is set, while this executor leads."""
    context.ready()
    await lead(context.leadership, stop, partial(_work, context))


async def _work(context: Context, stop: asyncio.Event) -> None:
    commands = context.bus.channel("commands", "executor")
    executor = Executor(context, commands)
    hear = partial(listen, context, CONSUMES, executor.reactor, executor.wakes)
    try:
        await serve(executor.reactor, stop, hear, executor.receive_replies)
    finally:
        commands.close()


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Run the executor's process until `stop` is set."""
    async with open_context(settings, "executor", EMITS, promises=False) as context:
        await run(context, stop)
