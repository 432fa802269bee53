"""Execution: claim what is due within the free slots, then send it. The claim commits before the command goes out."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
import structlog
from msgspec import convert

from services.executor import prompts
from services.executor.prompts import Brief, Dependency
from shared.bus.bus import MessageChannel
from shared.bus.skipped import Skipped
from shared.config import Settings
from shared.domain.delivery import Delivery
from shared.domain.names import task_branch
from shared.domain.readiness import Start, start
from shared.domain.statuses import ENDED_TASK, DirectiveStatus, TaskStatus
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
from shared.service.leadership import lead
from shared.service.phase import Surroundings, listen, serve, surroundings
from shared.service.reactor import Reactor
from shared.service.tokens import load_secret, task_token
from shared.store.database import UNAVAILABLE, UNHOLDABLE, Row, UnitOfWork, as_json
from shared.store.statements import statements

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
SQL = statements("services.executor")
SPAWNS_A_MESSAGE = 50
CANCELS_A_MESSAGE = 1000
ACCEPTED_WITHIN_SECONDS = 2.5
ASK_AGAIN_SECONDS = 0.2
"""So soon what no daemon could take is asked for again, at first; later as rarely as the next says."""
LONGEST_ASK_AGAIN_SECONDS = 15.0
TOO_LARGE = f"its command is larger than a frame may be ({LIMIT_BYTES} bytes); shorten its texts"
_CLAIMED = ("owner_id", "directive_id", "step_id", "name", "prompt", "agent", "start_from", "merge_branches")
SCRIPTED = "shell"
"""The agent that runs a task plan as it stands, instead of reading a prompt."""


class Executor:
    """Everything that is due is asked for at once: slots are shared by all of an owner's directives."""

    def __init__(self, around: Surroundings, commands: MessageChannel) -> None:
        self._around = around
        self._commands = commands
        self._skipped = Skipped()
        self._secret = load_secret(around.settings.home)
        self._alarm: asyncio.TimerHandle | None = None
        self._refused = True
        """Whether tasks may wait that no daemon could take; those of an earlier life aren't known yet."""
        self._freed = False
        self._freed_at = -math.inf
        """When a slot or a daemon last came; and whether what was refused has still to hear of it."""
        self.reactor = Reactor(self.reconcile, around.settings.sweep_seconds, around.chance)

    async def reconcile(self, directives: frozenset[UUID] | None) -> None:
        """Dispatch whatever is due; woken for all, also send again, pass on cancellations, see what waits."""
        if directives is None:  # before the claim: what becomes due in between would be seen by neither
            (look,) = await self._around.database.rows(SQL["next_look"], {"after": ACCEPTED_WITHIN_SECONDS})
            if look["seconds"] is not None:
                self._look_again(min(look["seconds"], 3600) + 0.005)
        await self._claim()
        if directives is None:
            await self._send(await self._unaccepted())
            await self._pass_on()

    async def _pass_on(self) -> None:
        """What people ask of running tasks and of daemons: rows promise it, again and again until it is done."""
        owner = self._around.settings.owner
        cancels, messages, drains = await self._around.database.rows_of_each(
            (SQL["cancels"], None), (SQL["messages"], None), (SQL["drains"], None)
        )
        asked: list[AnyCommand] = [
            CancelTask(task=r["id"], attempt=r["attempt"], owner=owner, reason=r["cancel_asked"]) for r in cancels
        ]
        asked += [
            TellTask(task=r["task_id"], attempt=r["attempt"], owner=owner, message=r["id"], text=r["text"])
            for r in messages
        ]
        asked += [Drain(owner=owner, daemon=r["name"], on=r["drain_asked"]) for r in drains]
        for body in COMMANDS.bodies(asked, CANCELS_A_MESSAGE)[0]:
            await self._commands.send("executor.cancel", b"commands", body)
        if asked:
            self._look_again(ACCEPTED_WITHIN_SECONDS)

    async def _unaccepted(self) -> list[SpawnTask]:
        async with self._around.database.unit_of_work("executor.resend") as unit:
            rows = await unit.rows(SQL["unaccepted"], {"after": ACCEPTED_WITHIN_SECONDS})
        return [self._spawn(r) for r in rows]

    async def _claim(self) -> None:
        """Claim what is due, and send it before anything else is told of it."""
        async with self._around.database.unit_of_work("executor.claim") as unit:
            if self._freed:
                await self._recall(unit)
            pending, due = await unit.rows_of_each(
                (SQL["claim_pending"], {"lease": self._around.settings.lease_seconds}), (SQL["due_steps"], None)
            )
            tasks = {self._around.new_id(): _task(row, self._around.settings.agent) for row in due}
            claimed = await unit.rows(SQL["claim_steps"], self._claims(tasks)) if tasks else []
            mine = [*pending, *({"id": c["id"], **tasks[c["id"]]} for c in claimed)]
            unit.record(*(_starting(t) for t in mine if not t.get("asked_again")))
            unit.after_commit(lambda: self._send([self._spawn(t) for t in mine]))

    async def _recall(self, unit: UnitOfWork) -> None:
        if self._refused:
            refused = await unit.rows(SQL["recall"], {"apart": ASK_AGAIN_SECONDS, "never": TOO_LARGE})
            self._refused = bool(refused)
            if refused:
                self._look_again(max(0.0, *(r["seconds"] for r in refused)) + 0.005)
        self._freed = False

    def _claims(self, tasks: Mapping[UUID, dict[str, Any]]) -> dict[str, object]:
        rows = [{"id": task, **{name: row[name] for name in _CLAIMED}} for task, row in tasks.items()]
        return {"tasks": as_json(rows), "lease": self._around.settings.lease_seconds}

    def _spawn(self, task: dict[str, Any] | Row) -> SpawnTask:
        attempt, scripted, chosen = task["attempt"], task["agent"] == SCRIPTED, task["agent_chosen"]
        return SpawnTask(
            task=task["id"],
            attempt=attempt,
            owner=self._around.settings.owner,
            directive=task["directive_id"],
            step=task["step_id"],
            kind=task["kind"],
            name=task["name"],
            prompt="" if scripted and chosen else _told(task),
            agent=task["agent"],
            agent_chosen=chosen,
            task_plan=(task["task_plan"] or "") if scripted or not chosen else "",
            repository_url=task["repository_url"],
            base_branch=task["base_branch"],
            start_from=task["start_from"],
            merge_branches=tuple(task["merge_branches"]),
            branch=task_branch(task["name"], task["id"], attempt),
            target_branch=task["target_branch"],
            resume_session=task["session"] or None,
            environment={"MAKIMA_API_URL": f"unix://{self._around.settings.gateway_socket()}"},
            token=task_token(self._secret, task["id"], attempt),
            prefer_daemon=task["session_daemon"] or task["daemon"],
            session_daemon=task["session_daemon"],
            spent_tokens=task["tokens"],
            delivery=convert(task["delivery"], Delivery) if task.get("delivery") else None,
        )

    async def _send(self, spawns: Sequence[SpawnTask]) -> None:
        if spawns:
            self._look_again(ACCEPTED_WITHIN_SECONDS + 0.005)
        bodies, too_large = COMMANDS.bodies(spawns, SPAWNS_A_MESSAGE)
        for body in bodies:
            await self._commands.send("executor.spawn", b"commands", body)
        if too_large:
            large = [s for s in too_large if isinstance(s, SpawnTask)]
            refused = [Unroutable(task=s.task, attempt=s.attempt, reason=TOO_LARGE) for s in large]
            await self._put_back(refused, first_seconds=60.0, longest_seconds=3600.0)

    def _look_again(self, seconds: float) -> None:
        """Look at everything in so many seconds at the latest."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if self._alarm is None or self._alarm.when() > at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = loop.call_at(at, self._look)

    def _look(self) -> None:
        self._alarm = None
        self.reactor.wake([None])

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
        parameters = {
            "tasks": [r.task for r in refused],
            "attempts": [r.attempt for r in refused],
            "reasons": [r.reason for r in refused],
            "first": first_seconds,
            "longest": longest_seconds,
        }
        async with self._around.database.unit_of_work("executor.put_back") as unit:
            rows = await unit.rows(SQL["put_back"], parameters)
            unit.record(*(_refused(row) for row in rows if row["changed"]))
        self._refused = self._refused or bool(rows)
        self.reactor.wake([None])

    def wakes(self, event: AnyEvent) -> Sequence[UUID | None]:
        """What an event wakes for; one that frees a slot also lets what was refused be asked for again."""
        if _frees(event):
            self._freed, self._freed_at = True, asyncio.get_running_loop().time()
        return wakes(event)


def wakes(event: AnyEvent) -> Sequence[UUID | None]:
    """A directive means: claim what is due. None means to look at everything, for what isn't a task's ordinary way."""
    match event:
        case StepReady() | TaskCreated() | DirectiveChanged():
            return (event.directive,)
        case TaskChanged(status=status, asked=False) if status in ENDED_TASK:
            return (event.directive,)
        case _:
            return (None,)


def _task(row: Row, agent: str) -> dict[str, Any]:
    """The task of a ready step: where it starts (rule 7) and what it is told."""
    begin = start(row["branches"], row["pr_branch"], row["last_completed"])
    return {
        **row,
        "kind": "step",
        "attempt": 1,
        "session": None,
        "session_daemon": None,
        "tokens": 0,
        "target_branch": None,
        "agent": row["agent"] or agent,
        "agent_chosen": row["agent"] is not None,
        "prompt": prompts.step(_brief(row, begin)),
        "start_from": begin.branch,
        "merge_branches": list(begin.merge),
    }


def _brief(row: Row, begin: Start) -> Brief:
    """A row of `due_steps` as the prompt takes it."""
    handed_on = tuple(msgspec.convert(d, Dependency) for d in row["handed_on"])
    return Brief(
        directive=row["title"],
        name=row["name"],
        task_plan=row["task_plan"],
        description=row["description"],
        start=begin.branch,
        merges=begin.merge,
        dependencies=handed_on,
        unlisted=row["dependencies"] - len(handed_on),
    )


def _told(task: dict[str, Any] | Row) -> str:
    """A task's prompt, with what failed last time when something did."""
    prompt: str = task["prompt"]
    return prompts.again(prompt, task["failed_reason"], task["failed_tail"] or "") if task["failed_reason"] else prompt


def _frees(event: AnyEvent) -> bool:
    """Whether a daemon may take now what none could take before."""
    match event:
        case SlotsFree() | DaemonConnected():
            return True
        case TaskChanged(status=status):
            return status in ENDED_TASK
        case _:
            return False


def _refused(row: Row) -> TaskChanged:
    return TaskChanged(
        directive=row["directive_id"],
        task=row["id"],
        attempt=row["attempt"],
        kind=row["kind"],
        status="pending",
        reason=row["waiting_reason"],
    )


def _starting(task: dict[str, Any] | Row) -> TaskChanged:
    return TaskChanged(
        directive=task["directive_id"],
        task=task["id"],
        attempt=task["attempt"],
        kind=task["kind"],
        status="starting",
    )


async def run(around: Surroundings, stop: asyncio.Event) -> None:
    """Execute until `stop` is set, while this executor leads."""
    around.ready()
    await lead(around.leadership, stop, partial(_work, around))


async def _work(around: Surroundings, stop: asyncio.Event) -> None:
    commands = around.bus.channel("commands", "executor")
    executor = Executor(around, commands)
    hear = partial(listen, around, CONSUMES, executor.reactor, executor.wakes)
    try:
        await serve(executor.reactor, stop, hear, executor.receive_replies)
    finally:
        commands.close()


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Run the executor's process until `stop` is set."""
    async with surroundings(settings, "executor", EMITS, promises=False) as around:
        await run(around, stop)
