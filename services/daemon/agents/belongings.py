"""What an agent needs of the real HOME in a private one: its sign-in, its settings, and where its sessions lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from shared.config.agents import AgentSettings

NOWHERE: Mapping[str, Path] = {}


class Belongings(msgspec.Struct, frozen=True, kw_only=True):
    """By their place below HOME. What isn't there is not missed."""

    copied: Mapping[str, Path] = NOWHERE
    """Files that the agent changes for itself alone."""
    readable: Mapping[str, Path] = NOWHERE
    """Files and folders that stay where they are."""
    writable: Mapping[str, Path] = NOWHERE
    """Files that stay where they are and that it may write: a sign-in that it renews has to outlive the attempt."""
    kept: tuple[str, ...] = ()
    """Folders, fresh ones of each task, that its next attempt finds again: its sessions."""
    unset: tuple[str, ...] = ()
    """Variables that would lead it to the real HOME."""


def claude(environment: Mapping[str, str]) -> Belongings:
    """Claude Code's. https://docs.claude.com/en/docs/claude-code/settings"""
    named = environment.get("CLAUDE_CONFIG_DIR")
    home = Path(environment.get("HOME", "/"))
    folder = Path(named) if named else home / ".claude"
    copied = ("settings.json", "CLAUDE.md")
    readable = ("agents", "commands", "output-styles", "plugins", "skills")
    return Belongings(
        copied={
            ".claude.json": (folder if named else home) / ".claude.json",
            **{f".claude/{name}": folder / name for name in copied},
        },
        readable={f".claude/{name}": folder / name for name in readable},
        writable={".claude/.credentials.json": folder / ".credentials.json"},
        kept=(".claude/projects",),
        unset=("CLAUDE_CONFIG_DIR",),
    )


def codex(environment: Mapping[str, str]) -> Belongings:
    """Codex'. https://developers.openai.com/codex/config"""
    folder = Path(environment.get("CODEX_HOME") or Path(environment.get("HOME", "/")) / ".codex")
    copied, readable = ("config.toml", "AGENTS.md"), ("prompts", "rules", "skills")
    return Belongings(
        copied={f".codex/{name}": folder / name for name in copied},
        readable={f".codex/{name}": folder / name for name in readable},
        writable={".codex/auth.json": folder / "auth.json"},
        kept=(".codex/sessions",),
        unset=("CODEX_HOME",),
    )


def gemini(environment: Mapping[str, str]) -> Belongings:
    """Gemini CLI's. https://google-gemini.github.io/gemini-cli/docs/get-started/configuration.html"""
    folder = Path(environment.get("HOME", "/")) / ".gemini"
    copied = ("settings.json", "google_accounts.json", "installation_id", "GEMINI.md")
    return Belongings(
        copied={f".gemini/{name}": folder / name for name in copied},
        writable={".gemini/oauth_creds.json": folder / "oauth_creds.json"},
        kept=(".gemini/tmp",),
    )


_SIGN_INS = frozenset({".claude.json"})
"""Files that an agent has copies of, and that may hold a key. Those that it renews are the writable ones."""

_KNOWN = {"claude": claude, "codex": codex, "gemini": gemini}


def of(settings: AgentSettings, environment: Mapping[str, str]) -> Belongings:
    """An agent's, by its kind, else by its command's name: adapters of others use the sign-in of what they adapt.

    `environment` is the one that it would have without a HOME of its own.
    """
    named = [settings.kind, *(Path(part).name for part in settings.command)]
    known = next((make for name, make in _KNOWN.items() if any(name in word for word in named)), None)
    found = known(environment) if known is not None and settings.kind != "shell" else Belongings()
    if settings.proxy_holds_key:
        kept = {place: source for place, source in found.copied.items() if place not in _SIGN_INS}
        found = msgspec.structs.replace(found, copied=kept, writable={})
    home = Path(environment.get("HOME", "/"))
    return msgspec.structs.replace(
        found,
        readable={**found.readable, **{name: home / name for name in settings.home_readable}},
        writable={**found.writable, **{name: home / name for name in settings.home_writable}},
    )
