"""`acp`: any agent that speaks the Agent Client Protocol, by a line of settings. https://agentclientprotocol.com

The protocol is a dialogue, and a run is a program that prints lines: so the run is a bridge (acp_bridge.py), which
holds the dialogue by the protocol's library and says what it heard in the lines that `command` reads.
"""

from __future__ import annotations

import sys
from pathlib import Path

from services.daemon.agents.adapter import AgentFailed, Assignment, Launch
from services.daemon.agents.command import Command
from services.daemon.agents.events import Event

DEFAULT_PERMISSION = "allow"


class Acp:
    """What it asks permission for is answered by the settings' `permission_mode`: allow or deny."""

    speaks = True

    def __init__(self) -> None:
        self._lines = Command()

    def start(self, assignment: Assignment) -> Launch:
        """The bridge, with the agent's argv. Raises AgentFailed when the settings can't be."""
        settings = assignment.settings
        if not settings.command:
            raise AgentFailed("this agent has no command: set `command` in its [agents] table")
        permission = settings.permission_mode or DEFAULT_PERMISSION
        if permission not in ("allow", "deny"):
            raise AgentFailed(f"permission_mode {permission!r} can't be for an acp agent: allow or deny")
        argv = [
            *(sys.executable, "-m", "services.daemon.agents.acp_bridge", "--permission", permission),
            *(("--resume", assignment.session) if assignment.resumes else ()),
            *("--", *settings.command, *settings.extra_args),
        ]
        return Launch(
            argv=tuple(argv),
            stdin=assignment.prompt.encode(errors="replace"),
            environment={"PYTHONPATH": str(Path(__file__).parents[3])},
        )

    def read(self, line: str) -> tuple[Event, ...]:
        """The bridge's lines."""
        return self._lines.read(line)

    def message(self, text: str) -> bytes | None:  # noqa: ARG002 - a turn of the protocol takes no second prompt
        """It can't be told anything while it runs."""
        return None
