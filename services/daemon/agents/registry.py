"""The agents of one daemon by name: those of the settings, those that are built in, and which of them are there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from services.daemon.agents.acp import Acp
from services.daemon.agents.adapter import Adapter, AgentFailed
from services.daemon.agents.claude import Claude
from services.daemon.agents.codex import Codex
from services.daemon.agents.command import Command
from services.daemon.agents.shell import Shell
from shared.config.agents import DEFAULT_AGENTS, AgentSettings

_SIGN_IN = {
    "claude": ("run `claude` on this machine and sign in", "ANTHROPIC_API_KEY"),
    "codex": ("run `codex login` on this machine", "OPENAI_API_KEY"),
}

TAKE_A_MODEL = ("claude", "codex", "command")
"""Kinds of agents that are told which model to use."""


def adapter(settings: AgentSettings) -> Adapter:
    """A fresh adapter of a kind."""
    match settings.kind:
        case "shell":
            return Shell()
        case "command":
            return Command()
        case "claude":
            return Claude()
        case "codex":
            return Codex()
        case "acp":
            return Acp()


def sign_in(name: str, kind: str) -> str:
    """How an agent is signed in, or gets a key; empty where there is nothing to sign in to."""
    if kind not in _SIGN_IN:
        return ""
    how, key = _SIGN_IN[kind]
    return f"{how}, or pass its key on: makima config set agents.{name}.pass_environment '[\"{key}\"]'"


def program(settings: AgentSettings) -> str:
    """The program that an agent needs."""
    if settings.kind == "shell":
        return "bash"
    return settings.command[0] if settings.command else settings.kind


class Registry:
    """What the settings name, over the defaults."""

    def __init__(self, named: Mapping[str, AgentSettings]) -> None:
        self._agents = {**DEFAULT_AGENTS, **named}

    def present(self) -> tuple[str, ...]:
        """The agents whose program is on this machine."""
        return tuple(name for name, settings in self._agents.items() if shutil.which(program(settings)))

    def settings(self, name: str) -> AgentSettings:
        """An agent's settings. Raises AgentFailed, with the fix."""
        if (found := self._agents.get(name)) is None:
            known = ", ".join(self._agents)
            raise AgentFailed(f"this daemon has no agent {name!r}, only {known}: name one, or add [agents.{name}]")
        if shutil.which(program(found)) is None:
            raise AgentFailed(
                f"the agent {name!r} needs {program(found)!r}, which isn't on this daemon's PATH: install it"
            )
        return found
