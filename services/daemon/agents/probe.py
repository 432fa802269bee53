"""Which agents are on this machine, in which version, and whether they are signed in; nothing is spent by looking."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping

import msgspec

from services.daemon.agents import environment
from services.daemon.agents.registry import program, sign_in
from shared.config.agents import AgentSettings

PATIENCE_SECONDS = 20.0
_STATUS = {"claude": ("auth", "status"), "codex": ("login", "status")}
"""What asks an agent about its own sign-in: exit code 0 is yes. It looks at its files, and asks no server."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one agent. `signed_in` None: there is nothing to sign in to, or it can't be known."""

    name: str
    path: str | None = None
    version: str = ""
    signed_in: bool | None = None
    fix: str = ""
    note: str = ""
    """What is as it may be, and good to know."""


def probe(name: str, settings: AgentSettings, own: Mapping[str, str] = os.environ) -> Probe:
    """Look at one agent, with the environment that its runs get. `own` is the daemon's."""
    needed = program(settings)
    path = shutil.which(needed, path=own.get("PATH"))
    if path is None:
        return Probe(name=name, fix=f"install {needed}, or leave the agent {name} unused")
    given = environment.own_part(settings, own)
    version = _run((path, "--version"), given)
    if version is None or version.returncode:
        return Probe(name=name, path=path, fix=f"`{needed} --version` fails: install it again")
    said = version.stdout.strip().partition("\n")[0]
    if (status := _STATUS.get(settings.kind)) is None:
        return Probe(name=name, path=path, version=said)
    asked = _run((path, *status), given)
    signed_in = None if asked is None else asked.returncode == 0 or _has_key(settings.kind, given)
    fix = sign_in(name, settings.kind) if signed_in is False else ""
    note = _priceless(name, settings)
    return Probe(name=name, path=path, version=said, signed_in=signed_in, fix=fix, note=note)


def _priceless(name: str, settings: AgentSettings) -> str:
    if settings.kind != "codex" or settings.price.known:
        return ""
    return f"it says no cost, so no cost budget has an effect on it: give its prices in [agents.{name}.price]"


def _has_key(kind: str, given: Mapping[str, str]) -> bool:
    return kind == "codex" and any(given.get(k) for k in ("OPENAI_API_KEY", "CODEX_API_KEY"))


def _run(argv: tuple[str, ...], given: Mapping[str, str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            argv,
            env=dict(given),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
