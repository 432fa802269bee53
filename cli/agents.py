"""Which agent a goal gets when nobody names one, and whether the named one can work. Nothing is spent by looking."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from cli.client import Failed
from cli.command import settings
from cli.text import clean

if TYPE_CHECKING:
    from services.daemon.agents.probe import Probe
    from shared.config.agents import AgentSettings

SHELL = "shell"
"""It runs plans, and can make none."""
_USUAL = ("claude", "codex")
"""Found without a setting, in this order."""


def named_agent(name: str) -> str:
    """An agent that somebody chose. Raises Failed where it isn't known here, not installed or not signed in."""
    from shared.domain.texts import nearest

    if (agent := _known().get(name)) is None:
        near = nearest(name, _known())
        fix = f"did you mean {near}?" if near else f"there are {', '.join(map(clean, _known()))}"
        raise Failed(f"there is no agent {clean(name)}: {fix}")
    if fix := _probed(name, agent).fix:
        raise Failed(f"the agent {clean(name)} can't work: {fix}")
    return name


def find_agent(folder: Path | None) -> str:
    """The repository's in this folder, the account's, else the first that is installed and signed in. Raises Failed."""
    usual = settings().agent
    if chosen := _of_repository(folder) or (usual if usual != SHELL else None):
        return named_agent(chosen)
    known = _known()
    others = [name for name, agent in settings().agents.items() if agent.kind in ("acp", "command")]
    unready = []
    for name in dict.fromkeys((*_USUAL, *others)):
        found = _probed(name, known[name])
        if not found.fix:
            return name
        if found.path:
            unready.append(f"{clean(name)} is installed but not ready: {found.fix}")
    raise Failed(
        "; ".join(unready)
        or "no coding agent is installed: install Claude Code or Codex, add one in makima.toml, or give a --plan"
    )


def _of_repository(folder: Path | None) -> str | None:
    """The agent that a repository asks for; one that can't be read is the daemon's to refuse."""
    try:
        named = tomllib.loads((folder / ".makima.toml").read_text(encoding="utf-8")).get("agent") if folder else None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    return named if isinstance(named, str) else None


def _known() -> dict[str, AgentSettings]:
    from shared.config.agents import DEFAULT_AGENTS

    return {**DEFAULT_AGENTS, **settings().agents}


def _probed(name: str, agent: AgentSettings) -> Probe:
    from services.daemon.agents.probe import probe

    return probe(name, agent)
