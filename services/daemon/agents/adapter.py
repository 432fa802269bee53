"""What an adapter is, and what it is handed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from services.daemon.agents.events import Event
from shared.config.agents import AgentSettings


class AgentFailed(RuntimeError):
    """Why an agent can't run at all; trying again can't fix it."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """One run of an agent: what it is told, and where it works."""

    kind: str
    """Of the task: plan, step, completion, verification."""
    prompt: str
    task_plan: str = ""
    """A step's task plan or a planning's goal as it stands, for an agent that runs it instead of reading a prompt."""
    session: str
    """The session to resume, or the id that a new one should get where the agent lets one choose."""
    resumes: bool = False
    worktree: Path
    folder: Path
    """Of the run: outside the worktree, gone after it. The agent may read there."""
    environment: Mapping[str, str] = {}
    """What it will have, but for the adapter's own part: its HOME, for one."""
    settings: AgentSettings
    tool_seconds: float
    """How long one tool call may take."""
    spent_tokens: int = 0
    """What the session to be resumed has taken before."""
    max_cost_usd: float | None = None


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """How to start an agent."""

    argv: tuple[str, ...]
    stdin: bytes = b""
    keeps_stdin: bool = False
    """Standard input stays open until the result, so that the agent can be told more."""
    environment: Mapping[str, str] = {}


class Adapter(Protocol):
    """One kind of agent. A fresh one a run: it may remember what it has read."""

    speaks: bool
    """It says in its output what it does and how it ended. If not, its lines are kept and its exit code decides."""

    def start(self, assignment: Assignment) -> Launch:
        """How to start or resume it. May write into the run's folder. Raises AgentFailed."""

    def read(self, line: str) -> tuple[Event, ...]:
        """What a line of its output says. Never raises: an unknown line is Raw."""

    def message(self, text: str) -> bytes | None:
        """What to write to a running agent to tell it something; None where it can only be told at its next resume."""
