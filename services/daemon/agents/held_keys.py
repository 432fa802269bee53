"""Agents whose key a proxy holds: what it adds to their requests, and what they have in the key's place. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.daemon.agents.adapter import AgentFailed
from services.daemon.agents.environment import passed_on
from services.daemon.sandbox.network import KEY_PORT, HeldKey
from shared.config.agents import AgentSettings

STAND_IN = "held-by-makima"
_HERE = f"http://127.0.0.1:{KEY_PORT}"
_CLAUDE = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
_CODEX = ("OPENAI_API_KEY", "CODEX_API_KEY")
_PROVIDER = f'{{name="makima",base_url="{_HERE}",env_key="OPENAI_API_KEY",wire_api="responses"}}'


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A key, and its agent without it."""

    key: HeldKey
    agent: AgentSettings


def hold(agent: AgentSettings, own: Mapping[str, str]) -> Held:
    """Part an agent from its key; `own` is the daemon's environment. Raises AgentFailed."""
    known = {**own, **agent.environment}
    match agent.kind:
        case "claude":
            if value := known.get("ANTHROPIC_API_KEY"):
                header = "x-api-key"
            elif value := known.get("ANTHROPIC_AUTH_TOKEN", ""):
                header, value = "authorization", f"Bearer {value}"
            else:
                raise _missing("ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN")
            upstream = known.get("ANTHROPIC_BASE_URL", "https://api.anthropic.com")
            environment = {"ANTHROPIC_API_KEY": STAND_IN, "ANTHROPIC_BASE_URL": _HERE}
            return Held(
                key=HeldKey(upstream=upstream, header=header, value=value),
                agent=_parted(agent, own, _CLAUDE, environment),
            )
        case "codex":
            value = next((known[name] for name in _CODEX if known.get(name)), "")
            if not value:
                raise _missing(" or ".join(_CODEX))
            upstream = known.get("OPENAI_BASE_URL", "https://api.openai.com/v1")
            parted = _parted(agent, own, (*_CODEX, "OPENAI_BASE_URL"), {"OPENAI_API_KEY": STAND_IN})
            provider = ("-c", 'model_provider="makima"', "-c", f"model_providers.makima={_PROVIDER}")
            return Held(
                key=HeldKey(upstream=upstream, header="authorization", value=f"Bearer {value}"),
                agent=msgspec.structs.replace(parted, extra_args=(*parted.extra_args, *provider)),
            )
        case kind:
            raise AgentFailed(f"proxy_holds_key is for agents of the kinds claude and codex, not {kind}: take it out")


def _parted(agent: AgentSettings, own: Mapping[str, str], keys: tuple[str, ...], put: dict[str, str]) -> AgentSettings:
    kept = {name: value for name, value in agent.environment.items() if name not in keys}
    passed = tuple(name for name in passed_on(agent, own) if name not in keys)
    return msgspec.structs.replace(agent, environment={**kept, **put}, pass_environment=passed)


def _missing(names: str) -> AgentFailed:
    return AgentFailed(f"proxy_holds_key needs a key to hold: set {names} for the agent, or for the daemon")
