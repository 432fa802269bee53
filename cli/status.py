"""`makima status`: the processes of this machine's cluster, what is broken since when, and what is under way."""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

from msgspec.structs import asdict

from cli.client import Failed, address, call, home
from cli.cluster import sandbox_warning
from cli.command import Arguments, declare, print_json
from cli.text import clean, columns, duration
from shared.places import disk_full
from shared.running import Running, read

READY_SECONDS = 8.0
"""A gateway that doesn't say within this whether it is ready stands still."""


def register(command: argparse.ArgumentParser) -> None:
    """Declare `status`."""
    declare(command, _status)


def _status(arguments: Arguments) -> int:
    found = look()
    if arguments.output == "json":
        print_json(found)
    else:
        _print(found)
    return 0 if found["trouble"] is None else 1


def look() -> dict[str, Any]:
    """What runs, as one document; `trouble` is None when all is well, else what isn't."""
    state = _state()
    found: dict[str, Any] = {
        "address": address(),
        "home": str(home()),
        "pid": state and state.pid,
        "up_seconds": state and round(time.time() - state.started, 1),
        "processes": state.processes if state else {},
        "broken": {name: asdict(one) for name, one in state.broken.items()} if state else {},
        "sandbox_warning": "",
        "refusing": {},
        "overview": None,
        "inbox": None,
        "trouble": None,
    }
    if state is None and not runs():
        found["trouble"] = f"no cluster runs on {home()}; `makima up` starts one"
        return found
    if state is not None:
        found["sandbox_warning"] = sandbox_warning()
    if found["broken"]:
        named = ", ".join(f"{name} ({one['why']})" for name, one in found["broken"].items())
        found["trouble"] = f"in trouble: {named}; see its log in {home() / 'logs'}"
    if full := disk_full(home()):
        found["trouble"] = full
    try:
        ready = call("GET", "/readyz", within_seconds=READY_SECONDS)
        found["trouble"] = found["trouble"] or ready["processes"].get("disk")
        found["overview"] = call("GET", "/v1/overview")
        found["inbox"] = _inbox()
        found["refusing"] = {d["name"]: d["refuses"] for d in call("GET", "/v1/daemons") if d.get("refuses")}
    except Failed as error:
        found["trouble"] = found["trouble"] or str(error)
    return found


def runs() -> bool:
    """Whether a cluster runs here: under a supervisor, or, as in containers, with a gateway that answers by itself."""
    if "MAKIMA_API_URL" in os.environ or _state() is not None:
        return True
    try:
        call("GET", "/healthz", within_seconds=READY_SECONDS)
    except Failed as error:
        return error.status != 0
    return True


def _state() -> Running | None:
    """What the supervisor wrote of itself, if it lives."""
    state = read(home())
    if state is None:
        return None
    try:
        os.kill(state.pid, 0)
    except PermissionError:
        return state
    except OSError:
        return None
    return state


def _inbox() -> int | None:
    try:
        return len(call("GET", "/v1/inbox"))
    except Failed:
        return None  # a gateway of an earlier version has none


def _print(found: dict[str, Any]) -> None:
    if found["pid"] is None and found["overview"] is not None:
        print(f"makima runs at {found['address']}, each of its processes by itself")
    if found["pid"] is not None:
        print(f"makima runs at {found['address']} for {duration(found['up_seconds'])}, home {found['home']}\n")
        rows = []
        for name, pid in {"supervisor": found["pid"], **found["processes"]}.items():
            if broken := found["broken"].get(name):
                since = duration(time.time() - broken["since"])
                says = f"✘ {broken['why']}, for {since}; started again {broken['restarts']} times"
            else:
                says = "✔"
            rows.append((f"  {name}", f"process {pid}", says))
        print("\n".join(columns(rows)))
    if (overview := found["overview"]) is not None:
        running = overview["tasks"].get("running", 0) + overview["tasks"].get("starting", 0)
        daemons = overview["daemons"].get("connected", 0)
        print(f"\n  daemons     {daemons} connected, {running} of {overview['slots'].get('capacity', 0)} slots taken")
        for what, none in (("directives", "none yet"), ("tasks", "none under way")):
            counted = ", ".join(f"{many} {status.replace('_', ' ')}" for status, many in sorted(overview[what].items()))
            print(f"  {what:<10}  {counted or none}")
    for name, why in found["refusing"].items():
        print(f"  {clean(name)} takes no work: {clean(why)}")
    if found["sandbox_warning"]:
        print(f"\n! {found['sandbox_warning']}")
    if found["inbox"]:
        print(f"  inbox       {found['inbox']} wait for you: makima inbox")
    if found["trouble"]:
        print(("\n" if found["pid"] is not None else "") + f"✘ {found['trouble']}")
