"""The daemon's life: one connection to the broker, a task an attempt, a journal behind every report."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from pathlib import Path
from typing import get_args

import structlog

from services.daemon.agents.registry import Registry
from services.daemon.attempt import Attempt, Machine
from services.daemon.disk import folders
from services.daemon.disk.locks import alone
from services.daemon.git.account import configuration
from services.daemon.git.command import network_limits
from services.daemon.headroom import Headroom
from services.daemon.link.far import Far, as_joined
from services.daemon.processes import cgroups, tree
from services.daemon.processes.adoption import adoption
from services.daemon.processes.cgroups import Cgroups
from services.daemon.processes.tree import Group, Whose
from services.daemon.pruning import names, prune_own
from services.daemon.reports.connection import Connection
from services.daemon.reports.journal import AttemptKey, Journal
from services.daemon.reports.resending import Resending
from services.daemon.sandbox import network
from services.daemon.sandbox.choosing import chosen
from services.daemon.sandbox.views import Views
from services.daemon.workspaces.untracked import Carried
from services.daemon.workspaces.workspaces import Workspaces
from shared.bus.link import read_link
from shared.bus.zeromq import ZeroMQ
from shared.config import Settings
from shared.domain.names import TAKEN_NAMES
from shared.messages import channels
from shared.messages.channels import ByChannel
from shared.messages.commands import AnyCommand, CancelTask, Drain, SpawnTask, TellTask
from shared.messages.link import Close, Downward, Join, Open, Piece, Taken
from shared.messages.reports import (
    Ack,
    AnyReportReply,
    Goodbye,
    Heartbeat,
    Hello,
    Identify,
    NotYours,
    Report,
    Running,
    TaskAccepted,
    TaskInterrupted,
)
from shared.metrics import GIVEN, TAKEN
from shared.service.process import ready

log = structlog.get_logger()

SENDS: ByChannel = {
    "daemons": frozenset(channels.REPORTS),
    "link": frozenset(channels.REPORTS) | frozenset({Join, Open, Piece, Taken, Close}),
}
_TAKES: frozenset[channels.Message] = frozenset({SpawnTask, CancelTask, TellTask, Drain, Ack, NotYours, Identify})
RECEIVES: ByChannel = {"daemons": _TAKES, "link": _TAKES | frozenset(get_args(Downward))}
STOP_SECONDS = 8.5
PRUNE_SECONDS = 3600.0


class Daemon:
    """Runs the attempts that it is sent, each once."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        journal: Journal,
        machine: Machine,
        folder: Path,
        name: str,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._journal = journal
        self._machine = machine
        self._workspaces = machine.workspaces
        self._folder = folder
        self._runs = folder / "runs"
        self._name = name
        self._attempts: dict[AttemptKey, Attempt] = {}
        self._working: dict[AttemptKey, asyncio.Task[None]] = {}
        self._stopping = False
        self._headroom = Headroom(settings, folder, journal.rewrite)
        self._drains = False
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.resending = Resending(connection, journal)

    async def recover(self) -> None:
        """Say Hello, and that what an earlier life had in hand is interrupted: its processes and files are gone."""
        in_hand = dict(self._journal.in_hand)
        await asyncio.gather(*(self._end(key, group) for key, group in in_hand.items()))
        await self._machine.sandbox.sweep(())
        await self._workspaces.remove_orphans()
        await asyncio.to_thread(network.sweep, self._runs)
        await asyncio.to_thread(folders.remove, self._runs)
        self.hello()
        self.resending.send_all()
        for task, attempt in in_hand:
            seq = self.next_seq()
            self.report(TaskInterrupted(seq=seq, task=task, attempt=attempt, reason="the daemon restarted"))

    async def _end(self, key: AttemptKey, group: Group | None) -> None:
        """End what an earlier life's attempt left running."""
        cgroup = self._machine.cgroups.make(f"{key[0].hex}-{key[1]}")
        await tree.end(Whose(*key, cgroup=cgroup), group)
        if cgroup is not None:
            await cgroups.remove(cgroup)

    def hello(self) -> None:
        """Say who this is and what it runs."""
        self._connection.send(
            [
                Hello(
                    daemon=self._name,
                    owner=self._settings.owner,
                    capacity=self._settings.slots,
                    labels=self._settings.labels,
                    agents=self._machine.registry.present(),
                    running=self._in_hand(),
                    workspaces=self._workspaces.held(),
                    draining=self._stopping or self._drains or self._headroom.refuses is not None,
                    refuses=self._headroom.refuses,
                    drain_asked=self._drains,
                )
            ]
        )

    def next_seq(self) -> int:
        """A number for a report."""
        return self._journal.next_seq()

    def report(self, report: Report) -> None:
        """Journal a report, with no secret in it, then send it; it is sent again until it is acknowledged.

        Nothing for what isn't ours.
        """
        attempt = self._attempts.get((report.task, report.attempt))
        if attempt is not None and not attempt.ours:
            return
        if attempt is not None:
            report = attempt.mask.struct(report)
        try:
            self._journal.add(report)
        except OSError as error:
            self._drain(error)
        self.resending.send(report)

    def runs(self, key: AttemptKey, group: Group) -> None:
        """Journal the process group of an attempt, so that a later life can end it."""
        try:
            self._journal.runs(key, group)
        except OSError as error:
            self._drain(error)

    def free_slots(self) -> int:
        """How many more tasks could run here now."""
        return max(0, self._settings.slots - len(self._attempts))

    async def beat(self) -> None:
        """Heartbeats, for ever."""
        while True:
            await asyncio.sleep(self._settings.heartbeat_seconds)
            if self._headroom.look():
                self.hello()
            adoption.reap()
            self._connection.send([Heartbeat(daemon=self._name, running=self._in_hand())])

    async def prune(self) -> None:
        """Give up what is long unused, at first and now and then, for ever."""
        while True:
            await self._machine.sandbox.sweep(names(list(self._attempts)))
            try:
                pruned = await prune_own(self._folder, self._settings, lambda: names(list(self._attempts)))
                if pruned:
                    log.info("pruned", folders=len(pruned), bytes=sum(p.bytes for p in pruned))
            except OSError as error:
                log.warning("not pruned", error=str(error))
            await asyncio.sleep(PRUNE_SECONDS)

    def on_command(self, command: AnyCommand) -> None:
        """Take in a command; one that comes again changes nothing."""
        if isinstance(command, Drain):
            if self._drains != command.on:
                self._drains = command.on
                self.hello()
            return
        key = (command.task, command.attempt)
        match command:
            case SpawnTask():
                if key in self._attempts or self._stopping or self._journal.has_ended(key):
                    return
                spawned = self._attempts[key] = Attempt(command, self._machine, self, self._run_folder(key))
                self.report(TaskAccepted(seq=self.next_seq(), task=command.task, attempt=command.attempt))
                spawned.start()
                TAKEN.add()
                log.info("task begins", task=command.task, attempt=command.attempt, directive=command.directive)
                self._working[key] = asyncio.create_task(self._run(spawned))
                self._working[key].add_done_callback(self._notice)
            case CancelTask():
                if (attempt := self._attempts.get(key)) and attempt.cancel_reason is None and attempt.ours:
                    attempt.cancel_reason = command.reason
                    attempt.cancel()
            case TellTask():
                if (attempt := self._attempts.get(key)) and attempt.ours:
                    attempt.tell(command.message, command.text)
            case _:
                log.warning("command not known here", command=type(command).__name__)

    def on_reply(self, reply: AnyReportReply) -> None:
        """Take in a reply to a report."""
        try:
            match reply:
                case Ack():
                    self.resending.acknowledged(reply.seqs)
                    self._journal.acknowledge(reply.seqs)
                case NotYours():
                    key = (reply.task, reply.attempt)
                    log.info("not ours any more", task=str(reply.task), attempt=reply.attempt)
                    if (attempt := self._attempts.get(key)) and attempt.ours:
                        attempt.ours = False
                        attempt.cancel()
                    self._journal.forget(key)
                    self.resending.forgotten()
                case Identify():
                    if not self._stopping:
                        self.hello()
                        self.resending.send_all()
        except OSError as error:
            self._drain(error)

    async def stop(self) -> None:
        """Take no more work, end what runs, report it interrupted, say goodbye."""
        self._stopping = True
        self.hello()
        for attempt in self._attempts.values():
            attempt.cancel()
        if self._working:
            await asyncio.wait(tuple(self._working.values()), timeout=STOP_SECONDS)
        self._connection.send([Goodbye(daemon=self._name, owner=self._settings.owner)])
        await self._connection.flushed()

    async def unbroken(self) -> None:
        """Wait for ever; raises what an attempt could not be brought to its end for."""
        await self._broken

    def _notice(self, working: asyncio.Task[None]) -> None:
        """An attempt without its end would keep its lease for ever: better a daemon that starts anew without it."""
        if not working.cancelled() and (error := working.exception()) and not self._broken.done():
            self._broken.set_exception(error)

    async def _run(self, attempt: Attempt) -> None:
        structlog.contextvars.bind_contextvars(task=str(attempt.key[0]), attempt=attempt.key[1])
        try:
            end = await attempt.ended()
        except Exception:  # one attempt's error is its own end, never the daemon's
            log.exception("attempt broke")
            end = attempt.broke()
        self.report(end)
        outcome = type(end).__name__.removeprefix("Task").lower()
        GIVEN.add(outcome)
        log.info("task ended", outcome=outcome)
        self._attempts.pop(attempt.key)
        await attempt.clean()
        self._working.pop(attempt.key, None)

    def _drain(self, error: OSError) -> None:
        """The disk refuses: go on with what runs, and take no more."""
        if self._headroom.not_written(error):
            self.hello()

    def _run_folder(self, key: AttemptKey) -> Path:
        return self._runs / f"{key[0].hex}-{key[1]}"

    def _in_hand(self) -> tuple[Running, ...]:
        return tuple(Running(task=t, attempt=n) for (t, n), attempt in self._attempts.items() if attempt.ours)


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Run the daemon until `stop` is set."""
    link = read_link(settings.home)
    if link is not None:
        settings = as_joined(settings, link, os.environ)
    name = settings.daemon_name or socket.gethostname()
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise OSError(f"a daemon can't be named {name!r}: it is also a folder's name")
    if name in TAKEN_NAMES:
        raise OSError(f"a daemon can't be named {name!r}, which `/v1/daemons` has already: set another daemon_name")
    folder = settings.home / "daemons" / name
    with alone(folder):
        configuration.folder = folder
        await asyncio.to_thread(configuration.read)
        network_limits.silent, network_limits.whole = settings.git_silent_seconds, settings.git_command_seconds
        far = Far(settings, link) if link is not None else None
        bus = far or ZeroMQ(settings, "daemon")
        connection = Connection(
            bus.channel("daemons", f"daemon/{name}", identity=name.encode()) if isinstance(bus, ZeroMQ) else bus.channel
        )
        journal = Journal(folder / "journal")
        machine = Machine(
            name=name,
            settings=settings,
            registry=Registry(settings.agents),
            workspaces=Workspaces(
                folder,
                settings.step_refs,
                settings.spare_worktrees,
                settings.repository_hooks,
                settings.populate_submodules,
            ),
            carried=Carried(folder / "carried"),
            sandbox=await asyncio.to_thread(chosen, settings),
            views=Views(settings, os.environ, folder),
            cgroups=Cgroups.of_this_process(hashlib.sha256(str(folder).encode()).hexdigest()[:12])
            if settings.control_groups
            else Cgroups(None),
            git_over_link=far.git.settings if far is not None else None,
        )
        if machine.sandbox.warning:
            log.warning("no sandbox", why=machine.sandbox.warning)
        adoption.begin()
        daemon = Daemon(settings, connection, journal, machine, folder, name)
        log.info("daemon starts", daemon=name, process=os.getpid(), **({"cluster": link.address} if link else {}))
        await daemon.recover()
        working = [
            asyncio.create_task(connection.run_sender()),
            asyncio.create_task(_receive(connection, daemon, far)),
            asyncio.create_task(daemon.beat()),
            asyncio.create_task(daemon.resending.run()),
            asyncio.create_task(daemon.prune()),
            asyncio.create_task(daemon.unbroken()),
            *(far.work(daemon.hello, lambda: connection.heard) if far is not None else ()),
        ]
        await connection.flushed()
        ready()
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait((stopped, *working), return_when=asyncio.FIRST_COMPLETED)
        if stopped not in done:
            for broken in done:
                log.error("daemon broke", error=repr(broken.exception()))
        await daemon.stop()
        for task in working:
            task.cancel()
        connection.close()
        bus.close()
        journal.close()
        if stopped not in done:
            raise OSError("a part of it ended by itself; see the log")


async def _receive(connection: Connection, daemon: Daemon, far: Far | None) -> None:
    if far is None:
        return await connection.run_receiver(daemon.on_command, daemon.on_reply)

    def on_reply(reply: AnyReportReply) -> None:
        if isinstance(reply, Identify):
            far.broken_off()
        daemon.on_reply(reply)

    return await connection.run_receiver(lambda command: daemon.on_command(far.here(command)), on_reply, far.on)
