"""An agent whose key its proxy holds: what the proxy adds, and that nothing of the key is left to the agent."""

from __future__ import annotations

import pytest

from services.daemon.agents import belongings
from services.daemon.agents.adapter import AgentFailed
from services.daemon.agents.environment import own_part
from services.daemon.agents.held_keys import STAND_IN, hold
from services.daemon.sandbox.network import KEY_PORT
from shared.config.agents import AgentSettings

KEY = "the real key"
HERE = f"http://127.0.0.1:{KEY_PORT}"


def agent(kind: str, passed: tuple[str, ...] = (), **environment: str) -> AgentSettings:
    return AgentSettings(kind=kind, environment=environment, pass_environment=passed, proxy_holds_key=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "variable", "header", "value", "upstream"),
    [
        ("claude", "ANTHROPIC_API_KEY", "x-api-key", KEY, "https://api.anthropic.com"),
        ("claude", "ANTHROPIC_AUTH_TOKEN", "authorization", f"Bearer {KEY}", "https://api.anthropic.com"),
        ("codex", "OPENAI_API_KEY", "authorization", f"Bearer {KEY}", "https://api.openai.com/v1"),
        ("codex", "CODEX_API_KEY", "authorization", f"Bearer {KEY}", "https://api.openai.com/v1"),
    ],
)
@pytest.mark.parametrize("whose", ["the agent's", "the daemon's"])
def test_the_key_is_the_proxys_wherever_it_was(
    whose: str, kind: str, variable: str, header: str, value: str, upstream: str
) -> None:
    own = {variable: KEY, "PATH": "/bin"} if whose == "the daemon's" else {"PATH": "/bin"}
    settings = agent(kind, ("*",), **({variable: KEY} if whose == "the agent's" else {}))
    held = hold(settings, own)
    assert (held.key.header, held.key.value, held.key.upstream) == (header, value, upstream)
    assert KEY not in repr(own_part(held.agent, own)) and KEY not in repr(held)
    assert STAND_IN in own_part(held.agent, own).values()
    assert HERE in repr((own_part(held.agent, own), held.agent.extra_args))


def test_requests_go_on_to_the_address_that_the_settings_name() -> None:
    claude = hold(agent("claude", ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL="https://models.example.com"), {})
    assert claude.key.upstream == "https://models.example.com"
    assert claude.agent.environment["ANTHROPIC_BASE_URL"] == HERE
    codex = hold(agent("codex", OPENAI_API_KEY=KEY, OPENAI_BASE_URL="https://models.example.com/v1"), {})
    assert codex.key.upstream == "https://models.example.com/v1" and "OPENAI_BASE_URL" not in codex.agent.environment


@pytest.mark.parametrize("kind", ["claude", "codex"])
def test_without_a_key_it_is_said_what_to_set(kind: str) -> None:
    with pytest.raises(AgentFailed, match=r"needs a key to hold: set \w+_API_KEY or "):
        hold(agent(kind), {})


def test_an_agent_that_has_no_such_key_is_refused_in_words() -> None:
    with pytest.raises(AgentFailed, match="of the kinds claude and codex, not acp"):
        hold(agent("acp"), {"ANTHROPIC_API_KEY": KEY})


@pytest.mark.parametrize("kind", ["claude", "codex"])
def test_a_sign_in_is_not_brought_along_either(kind: str) -> None:
    with_key = belongings.of(AgentSettings(kind=kind), {"HOME": "/home/x"})  # type: ignore[arg-type]
    without = belongings.of(agent(kind), {"HOME": "/home/x"})
    assert with_key.writable and not without.writable
    assert ".claude.json" not in without.copied
