"""`makima doctor`: whether this machine has what makima needs, each with its fix, and the settings in force."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from cli.command import Arguments, declare, print_json
from cli.config import in_force
from cli.text import clean, wrapped

if TYPE_CHECKING:
    from shared.config import Settings

OLDEST_GIT = (2, 31)
PATIENCE_SECONDS = 15
FREE_GIB = 2
MARKS = {"ok": "✔", "warn": "!", "bad": "✘"}


class Finding(NamedTuple):
    """One thing that was looked at."""

    name: str
    verdict: Literal["ok", "warn", "bad"]
    says: str
    fix: str = ""


def register(command: argparse.ArgumentParser) -> None:
    """Declare `doctor`."""
    declare(command, _doctor, "makima doctor")


def _doctor(arguments: Arguments) -> int:
    from shared.config import ConfigError, load, unread

    settings: Settings | None = None
    try:
        settings = load(os.environ)
        findings = [Finding("settings", "ok", "each is known, and its value can be read")]
    except ConfigError as error:
        findings = [Finding("settings", "bad", str(error), "fix the setting that it names")]
    if words := unread(os.environ):
        findings.append(Finding("makima.toml", "warn", words))
    findings += _programs()
    if settings is not None:
        findings += [
            _home(settings),
            _port(settings),
            _sandbox(settings),
            _network(settings),
            *_parts(settings),
            *_agents(settings),
        ]
    if arguments.output == "json":
        given = {row.name: row.value for row in in_force()} if settings is not None else {}
        print_json({"findings": [f._asdict() for f in findings], "settings": given})
    else:
        _print(findings)
    return 1 if any(f.verdict == "bad" for f in findings) else 0


def _print(findings: list[Finding]) -> None:
    width = max(len(f.name) for f in findings)
    for found in findings:
        _say(f"{MARKS[found.verdict]} {found.name.ljust(width)}  ", found.says)
        if found.fix:
            _say(f"  {' ' * width}  → ", found.fix)
    print("\nThe settings in force: makima config")


def _say(head: str, words: str) -> None:
    first, *others = wrapped(words, " " * len(head)) or [""]
    print("\n".join([head + first.lstrip(), *others]))


def _programs() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{sys.version.split()[0]} at {sys.executable}")
    version = _first_line("git", "--version")
    if version is None:
        yield Finding("git", "bad", "is not on PATH", "install your system's package git")
    elif (found := _version(version)) < OLDEST_GIT:
        oldest = ".".join(map(str, OLDEST_GIT))
        yield Finding("git", "bad", f"{'.'.join(map(str, found))} is too old", f"install git {oldest} or newer")
    else:
        yield Finding("git", "ok", version)
    if (lfs := _first_line("git-lfs", "version")) is None:
        fix = "install git-lfs (https://git-lfs.com) for repositories that keep large files with it"
        yield Finding("git-lfs", "warn", "is not on PATH: tasks on such repositories are refused", fix)
    else:
        yield Finding("git-lfs", "ok", lfs)
    if _first_line("gh", "--version") is None:
        fix = "install gh (https://cli.github.com) for pull requests on GitHub; branches are pushed without it"
        yield Finding("gh", "warn", "is not on PATH", fix)
    elif _run("gh", "auth", "status").returncode:
        yield Finding("gh", "warn", "is not signed in", "run `gh auth login` as the user that the daemon runs as")
    else:
        yield Finding("gh", "ok", "signed in")


def _home(settings: Settings) -> Finding:
    from shared.config import ConfigError
    from shared.config.home import check_home

    folder = settings.home
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("home", "bad", f"{folder} can't be written", "set MAKIMA_HOME to a folder of yours")
    try:
        check_home(settings.home)
    except ConfigError as error:
        says, _, fix = str(error).partition("; ")
        return Finding("home", "bad", says, fix)
    free = shutil.disk_usage(folder).free / 2**30
    if free < FREE_GIB:
        return Finding(
            "home", "warn", f"{settings.home}: {free:.1f} GiB free", "make room: worktrees and output need it"
        )
    return Finding("home", "ok", f"{settings.home}, {free:.0f} GiB free")


def _port(settings: Settings) -> Finding:
    from cli.status import runs
    from shared.config import ConfigError
    from shared.config.listening import bound, tls_context

    where = settings.address()
    try:
        if settings.tls_certificate and settings.tls_key:
            tls_context(settings.tls_certificate, settings.tls_key)
        if runs():
            return Finding("port", "ok", f"{where}, where this home's cluster runs")
        bound(settings).close()
    except (ConfigError, OSError) as error:
        says, _, fix = str(getattr(error, "strerror", error)).partition("; ")
        return Finding("port", "bad", says, fix)
    return Finding("port", "ok", f"{where} is free")


def _parts(settings: Settings) -> Iterator[Finding]:
    """Postgres, broker and daemons: of the cluster that runs, else what it would start from."""
    from cli.client import Failed, ask, pages
    from cli.status import runs
    from shared.api.cluster import DaemonShown, Readiness

    if not runs():
        yield _postgres(settings)
        yield Finding("cluster", "warn", f"none runs on {settings.home}", "`makima up` starts one")
        return
    try:
        ask(Readiness, "GET", "/readyz")
        yield Finding("postgres", "ok", "answers the gateway" + ("" if settings.postgres_url else " (embedded)"))
        yield Finding("broker", "ok", "answers the gateway")
        daemons = [d.name for d in pages(DaemonShown, "/v1/daemons") if d.connected]
    except Failed as error:
        yield Finding("cluster", "bad", str(error), "see `makima status`, and the logs folder of the home")
        return
    if daemons:
        yield Finding("daemons", "ok", f"connected: {', '.join(map(clean, daemons))}")
    else:
        yield Finding("daemons", "warn", "none is connected, so every task waits", "`makima daemon run` starts one")


def _postgres(settings: Settings) -> Finding:
    if settings.postgres_url is None:
        from shared.store import embedded

        if (embedded.BINARIES / "initdb").exists():
            return Finding("postgres", "ok", "embedded, started with the cluster")
        return Finding(
            "postgres", "bad", f"no server in {embedded.BINARIES}", "install again: delete .venv, run ./justw"
        )
    import psycopg

    from shared.domain.texts import without_credentials

    where = without_credentials(settings.postgres_url)
    try:
        with psycopg.connect(settings.postgres_url, connect_timeout=3) as connection:
            return Finding("postgres", "ok", f"{where}, {connection.info.server_version}")
    except psycopg.Error as error:
        says = f"{where}: {str(error).splitlines()[0]}"
        return Finding("postgres", "bad", says, "start it, or fix postgres_url; without one makima brings its own")


def _sandbox(settings: Settings) -> Finding:
    """What holds agents here, tried; a daemon elsewhere has its own."""
    from services.daemon.sandbox.choosing import chosen
    from services.daemon.sandbox.docker import Docker
    from services.daemon.sandbox.sandbox import SandboxMissing

    found = chosen(settings)
    try:
        if isinstance(found, Docker):
            found.check()
    except SandboxMissing as error:
        return Finding("sandbox", "bad", str(error), "no task runs without it")
    if found.refuses:
        return Finding("sandbox", "bad", found.holds, "no task runs without it")
    if found.warning:
        return Finding("sandbox", "warn", found.holds, found.warning)
    return Finding("sandbox", "warn" if found.kind == "off" else "ok", found.holds)


def _network(settings: Settings) -> Finding:
    """What agents here reach, and whether that can be held."""
    from services.daemon.sandbox.choosing import chosen, not_held

    if why := not_held(chosen(settings), settings.network):
        return Finding("network", "bad", why, "no task runs without it")
    match settings.network:
        case "open":
            return Finding("network", "ok", "open: agents reach what this machine reaches")
        case "none":
            return Finding("network", "ok", "none: agents reach the gateway alone")
        case "hosts":
            named = ", ".join((*settings.network_presets, *settings.network_hosts)) or "none at all"
            return Finding("network", "ok", f"hosts: agents reach the gateway and those named: {named}")


def _agents(settings: Settings) -> Iterator[Finding]:
    from services.daemon.agents.probe import probe
    from shared.config.agents import DEFAULT_AGENTS

    signed = {True: "signed in", False: "not signed in", None: ""}
    for name, agent in {**DEFAULT_AGENTS, **settings.agents}.items():
        found = probe(name, agent)
        says = "  ".join(part for part in (found.path, found.version, signed[found.signed_in], found.note) if part)
        yield Finding(f"agent {name}", "warn" if found.fix else "ok", says or "is not on PATH", found.fix)


def _version(text: str) -> tuple[int, ...]:
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _first_line(*argv: str) -> str | None:
    """The first line of what a program prints; None when it isn't there."""
    if shutil.which(argv[0]) is None:
        return None
    lines = [line for line in _run(*argv).stdout.splitlines() if line.strip()]
    return clean(lines[0])[:80] if lines else ""


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=PATIENCE_SECONDS, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(argv, 1, "", str(error))
