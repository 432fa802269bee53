"""`makima logs`: what the cluster's processes here write, as sentences, one process's or all."""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlencode

from cli.client import Failed, pages
from cli.command import Arguments, declare
from cli.gateways import home
from cli.naming import name
from cli.parsing import meant
from cli.text import clean
from shared.api.tasks import TaskListed

LAST_BYTES = 64 << 10
"""Of each log that is shown from its end."""
LOOK_SECONDS = 0.3
_TOLD = ("timestamp", "event", "level", "exception", "service")
_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}([0-9a-f]{8})\b")


def register(command: argparse.ArgumentParser) -> None:
    """Declare `logs`."""
    declare(command, _logs, "makima logs", "makima logs gateway -f", "makima logs -n 200 -o json")
    service = command.add_argument(
        "service", nargs="?", metavar="SERVICE", help="gateway, monitor, daemon-1, ...; else all"
    )
    service.completer = _services  # type: ignore[attr-defined]
    command.add_argument("-f", "--follow", action="store_true", help="and what they write from now on")
    name(command, "--directive", kind="directive", metavar="NAME")
    command.add_argument("-n", "--lines", type=int, default=50, metavar="N", help="how many of the last lines")


def _logs(arguments: Arguments) -> int:
    files = _files(arguments.service)
    if arguments.follow and arguments.directive is not None:
        raise Failed("--directive looks back: leave out --follow; `makima directive watch` follows a directive")
    lines = sorted(line for file in files for line in _last(file))
    if arguments.directive is not None:
        lines = list(_about(arguments.directive, lines))
    for _, line in lines[-arguments.lines :] if arguments.lines > 0 else ():
        _print(line, arguments)
    if arguments.follow:
        for line in _following(files):
            _print(line, arguments)
    return 0


def _services(**_: object) -> list[str]:
    return sorted(file.stem for file in (home() / "logs").glob("*.log"))


def _files(service: str | None) -> list[Path]:
    """The logs of a process, or all. Raises Failed."""
    files = sorted((home() / "logs").glob("*.log"))
    if service is None and files:
        return files
    if chosen := [file for file in files if file.stem == service]:
        return chosen
    if not files:
        raise Failed(f"there are no logs in {home() / 'logs'}: no cluster has run here")
    raise Failed(f"there is no log of {clean(service)}{meant(service or '', [f.stem for f in files])}")


def _last(file: Path) -> Iterator[tuple[str, str]]:
    """The last lines of a log, each with what it is sorted by."""
    with file.open("rb") as log:
        log.seek(max(log.seek(0, 2) - LAST_BYTES, 0))
        text = log.read().decode(errors="replace")
    at = ""
    for line in text.splitlines()[1 if len(text) >= LAST_BYTES else 0 :]:
        at = _time(line) or at
        yield at, f"{file.stem}\t{line}"


def _about(directive: str, lines: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The lines that name a directive, or a task of it."""
    tasks = pages(TaskListed, f"/v1/tasks?{urlencode({'directive': directive})}")
    named = {directive, *(str(task.id) for task in tasks)}
    for at, line in lines:
        if any(one in line for one in named):
            yield at, line


def _following(files: list[Path]) -> Iterator[str]:
    logs = {file: file.open("rb") for file in files}
    for log in logs.values():
        log.seek(0, 2)
    while True:
        fresh = [f"{file.stem}\t{line}" for file, log in logs.items() for line in _whole_lines(log)]
        yield from fresh
        if not fresh:
            logs |= {file: file.open("rb") for file, log in logs.items() if _set_aside(file, log)}
            time.sleep(LOOK_SECONDS)


def _set_aside(file: Path, log: IO[bytes]) -> bool:
    """Whether another file has come in the place of one that was full."""
    return file.exists() and not os.path.samestat(file.stat(), os.fstat(log.fileno()))


def _whole_lines(log: IO[bytes]) -> Iterator[str]:
    while (line := log.readline()).endswith(b"\n"):
        yield line.decode(errors="replace").rstrip("\n")
    log.seek(-len(line), 1)


def _time(line: str) -> str:
    try:
        return str(json.loads(line)["timestamp"])
    except (ValueError, KeyError, TypeError):
        return ""


def _print(line: str, arguments: Arguments) -> None:
    process, _, written = line.partition("\t")
    if arguments.output == "json":
        print(json.dumps({"process": process, **_entry(written)}), flush=True)
    else:
        print(f"{'' if arguments.service else process + '  '}{told(written)}", flush=True)


def _entry(line: str) -> dict[str, object]:
    """A line of a log as an object: what isn't one is its event."""
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError):
        return {"event": clean(line)}


def _short(value: object) -> str:
    """A value for people: ids by the eight digits that everything else shows of them."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return _ID.sub(r"\1", clean(text))


def told(line: str) -> str:
    """A line of a log for people.

    >>> told('{"timestamp": "2026-01-01T10:00:00.1Z", "level": "error", "event": "it failed", "error": "no room"}')
    '10:00:00 error: it failed  error=no room'
    """
    try:
        entry = json.loads(line)
        at, event = str(entry["timestamp"]), clean(entry["event"])
    except (ValueError, KeyError, TypeError):
        return clean(line)
    level = f" {entry['level']}:" if entry.get("level") not in (None, "info") else ""
    more = "  ".join(f"{key}={_short(value)}" for key, value in entry.items() if key not in _TOLD and value is not None)
    trace = "".join(f"\n  {clean(one)}" for one in str(entry.get("exception", "")).splitlines())
    return f"{at[11:19]}{level} {event}{'  ' + more if more else ''}{trace}"
