"""Agents by name: how each is run, in the `[agents.NAME]` tables of makima.toml."""

from __future__ import annotations

from typing import Literal

import msgspec


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One agent. `command` is its argv: for claude and codex where to find it, for command and acp the whole of it."""

    kind: Literal["shell", "command", "claude", "codex", "acp"]
    command: tuple[str, ...] = ()
    model: str | None = None
    permission_mode: str | None = None
    """claude: its --permission-mode. codex: its --sandbox. acp: allow or deny, for what it asks permission for."""
    allowed_tools: tuple[str, ...] | None = None
    """claude: what it may use without being asked; nobody is there to ask."""
    max_turns: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None
    """What one attempt may take; past it, it has failed for good."""
    extra_args: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    pass_environment: tuple[str, ...] = ()
    """Names of the daemon's own variables that the agent gets: its credentials, a proxy. A final * matches a prefix."""


DEFAULT_AGENTS = {
    "shell": AgentSettings(kind="shell"),
    "claude": AgentSettings(kind="claude"),
    "codex": AgentSettings(kind="codex"),
}
