"""Agents by name: how each is run, in the `[agents.NAME]` tables of makima.toml."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Dollars = Annotated[float, msgspec.Meta(ge=0)]


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars a million tokens: read, read again from the model's cache, and written."""

    input: Dollars = 0.0
    cached: Dollars = 0.0
    output: Dollars = 0.0

    @property
    def known(self) -> bool:
        """Whether there is one, so that a cost can be told."""
        return bool(self.input or self.output)


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One agent. `command` is its argv: for claude and codex where to find it, for command and acp the whole of it."""

    kind: Literal["shell", "command", "claude", "codex", "acp"]
    command: tuple[str, ...] = ()
    model: str | None = None
    permission_mode: str | None = None
    """claude: its --permission-mode. codex: its --sandbox. acp: allow or deny, for what it asks permission for."""
    allowed_tools: tuple[str, ...] | None = None
    """claude: the tools it may use without asking, since nobody is there to ask."""
    max_turns: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None
    """The most that one attempt may cost; beyond it, the attempt fails and is not repeated."""
    price: Price = Price()
    """For codex, which reports tokens but no cost: without a price, budgets in dollars don't hold it."""
    extra_args: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    home_readable: tuple[str, ...] = ()
    """What of the account's HOME the agent reads in its own, besides what its kind is known to need: paths below it."""
    home_writable: tuple[str, ...] = ()
    """The same, of what it may change there."""
    pass_environment: tuple[str, ...] = ()
    """Names of the daemon's own variables that the agent gets: its credentials, a proxy. A final * matches a prefix."""
    proxy_holds_key: bool = False
    """claude and codex, with `network = "hosts"`: its key, of `environment` or of the daemon's variables, is added to
    its requests on their way to the model. The agent itself never has it."""


DEFAULT_AGENTS = {
    "shell": AgentSettings(kind="shell"),
    "claude": AgentSettings(kind="claude"),
    "codex": AgentSettings(kind="codex"),
}
