"""An agent's environment, built up from nothing: what it needs, and nothing of what the daemon was started with."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from services.daemon.processes import tree
from shared.config.agents import AgentSettings
from shared.messages.commands import SpawnTask

KEPT = (
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
)
"""Of the daemon's own variables: who it is and how it writes. Credentials are passed on by name only."""


def build(
    command: SpawnTask, settings: AgentSettings, own: Mapping[str, str], more: Mapping[str, str]
) -> dict[str, str]:
    """The environment of one run. `own` is the daemon's, `more` the adapter's."""
    return {
        **more,
        **own_part(settings, own),
        **command.environment,
        **tree.marker(command.task, command.attempt),
        "MAKIMA_DIRECTIVE_ID": str(command.directive),
        "MAKIMA_TOKEN": command.token,
    }


def own_part(settings: AgentSettings, own: Mapping[str, str]) -> dict[str, str]:
    """What of it is no task's: who the agent is, where its programs are, and its credentials."""
    return {
        **{k: own[k] for k in KEPT if k in own},
        **{k: own[k] for k in passed_on(settings, own)},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{own.get('PATH', os.defpath)}",
        **settings.environment,
    }


def passed_on(settings: AgentSettings, own: Mapping[str, str]) -> tuple[str, ...]:
    """The daemon's own variables that an agent gets because its settings say so."""
    return tuple(name for name in own if _named(name, settings.pass_environment))


def _named(variable: str, patterns: tuple[str, ...]) -> bool:
    return any(variable.startswith(p[:-1]) if p.endswith("*") else variable == p for p in patterns)
