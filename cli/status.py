"""`makima status`: the processes of this machine's cluster, what is broken since when, and what is under way."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import msgspec

from cli.client import Failed, ask, pages
from cli.cluster import sandbox_warning
from cli.command import Arguments, declare, print_json, print_table, say_line
from cli.gateways import chosen, home, none_runs, supervisor
from cli.text import clean, commands, duration, wrapped
from shared.api.cluster import DaemonShown, Health, Overview, Readiness
from shared.api.waiting import InboxItem
from shared.domain.statuses import Standing, TaskStatus
from shared.places import disk_full
from shared.running import Broken

READY_SECONDS = 8.0
"""A gateway that doesn't say within this whether it is ready stands still."""
DAEMON_SECONDS = 10.0
"""How long a cluster that has just been started may take until its first daemon is connected."""


class Found(msgspec.Struct, kw_only=True):
    """What runs, as one document."""

    address: str
    home: str
    """This machine's, which has nothing to do with a context."""
    context: str = ""
    """The one that counts; empty for this machine's own cluster."""
    pid: int | None = None
    """The supervisor's; null where none runs, as in containers."""
    up_seconds: float | None = None
    processes: dict[str, int] = {}
    broken: dict[str, Broken] = {}
    sandbox_warning: str = ""
    refusing: dict[str, str] = {}
    """Daemons that take no work though nobody asked for that, each with why."""
    overview: Overview | None = None
    inbox: int | None = None
    """How many things wait for a person."""
    trouble: str | None = None
    held: bool = False
    """Whether the trouble is that work waits: the cluster itself is well."""
    """Null when all is well, else what isn't."""
    fix: str | None = None
    """The command that helps against it."""


def register(command: argparse.ArgumentParser) -> None:
    """Declare `status`."""
    declare(command, _status, "makima status", "makima status -o json")


def _status(arguments: Arguments) -> int:
    found = look()
    if arguments.output == "json":
        print_json(found)
    else:
        _print(found)
    return 0 if found.trouble is None or found.held else 1


def look() -> Found:
    """What runs."""
    gateway = chosen()
    state = supervisor() if not gateway.context else None
    found = Found(address=gateway.address, home=str(home()), context=gateway.context)
    if state is None and not runs():
        found.trouble = none_runs()
        return found
    if state is not None:
        found.pid, found.up_seconds = state.pid, round(time.time() - state.started, 1)
        found.processes, found.broken = state.processes, state.broken
        found.sandbox_warning = sandbox_warning()
    if found.broken:
        named = ", ".join(f"{name} ({one.why})" for name, one in found.broken.items())
        found.trouble, found.fix = f"in trouble: {named}", f"makima logs {next(iter(found.broken))}"
    if not gateway.context and (full := disk_full(home())):
        found.trouble, found.fix = full, None
    try:
        _ask(found)
    except Failed as error:
        found.trouble = found.trouble or str(error)
    return found


def _ask(found: Found) -> None:
    """Take in what the gateway says. Raises Failed."""
    ready = ask(Readiness, "GET", "/readyz", within_seconds=READY_SECONDS)
    found.trouble = found.trouble or ready.processes.get("disk")
    found.overview = ask(Overview, "GET", "/v1/overview")
    found.inbox = sum(1 for _ in pages(InboxItem, "/v1/inbox"))
    found.refusing = {d.name: d.refuses for d in pages(DaemonShown, "/v1/daemons") if d.refuses}
    begins = found.up_seconds is not None and found.up_seconds < DAEMON_SECONDS
    if found.overview.held is not None and found.trouble is None and not begins:
        found.held, found.trouble = True, f"nothing can run: {found.overview.held.why}"
        found.fix = found.overview.held.fix


def runs() -> bool:
    """Whether a cluster runs here: under a supervisor, or, as in containers, with a gateway that answers by itself."""
    if chosen().named or supervisor() is not None:
        return True
    try:
        ask(Health, "GET", "/healthz", within_seconds=READY_SECONDS)
    except Failed as error:
        return error.status != 0
    return True


def _print(found: Found) -> None:
    if found.pid is None and found.overview is not None:
        whose = f"the context {found.context}" if found.context else "each of its processes by itself"
        _say_wrapped(f"makima runs at {found.address}, {whose}")
    if found.pid is not None:
        _say_wrapped(f"makima runs at {found.address} for {duration(found.up_seconds or 0)}, home {found.home}")
        print()
        print_table((), list(_processes(found)))
    if found.overview is not None:
        print()
        for what, says in _counted(found.overview):
            say_line(f"  {what:<10}  {says}")
    if found.inbox:
        wait = "1 thing waits" if found.inbox == 1 else f"{found.inbox} things wait"
        say_line(f"  {'inbox':<10}  {wait} for you: makima inbox")
    for name, why in found.refusing.items():
        say_line(f"  {clean(name)} takes no work: {clean(why)}")
    if found.sandbox_warning:
        print()
        _say_wrapped(f"! {found.sandbox_warning}")
    if found.trouble:
        if found.pid is not None:
            print()
        say_trouble(found)


def say_trouble(found: Found) -> None:
    """Say what isn't well, and the commands that help."""
    _say_wrapped(f"✘ {clean(found.trouble)}")
    for command in commands(found.fix):
        print(f"  {command}")


def _say_wrapped(text: str) -> None:
    for line in wrapped(text):
        print(line)


def _processes(found: Found) -> Iterator[tuple[str, str, str]]:
    for name, pid in {"supervisor": found.pid, **found.processes}.items():
        says = "✔"
        if broken := found.broken.get(name):
            since = duration(time.time() - broken.since)
            says = f"✘ {broken.why}, for {since}; started again {broken.restarts} times"
        yield f"  {name}", f"process {pid}", says


def _counted(overview: Overview) -> Iterator[tuple[str, str]]:
    running = overview.tasks.get(TaskStatus.RUNNING, 0) + overview.tasks.get(TaskStatus.STARTING, 0)
    connected, slots = overview.daemons.get("connected", 0), overview.slots.get("capacity", 0)
    yield "daemons", f"{connected} connected, {running} of {slots} slots taken"
    standings = [f"{overview.standings[one]} {one}" for one in Standing if overview.standings.get(one)]
    yield "directives", ", ".join(standings) or "none yet"
    yield "tasks", ", ".join(f"{many} {status}" for status, many in sorted(overview.tasks.items())) or "none under way"
