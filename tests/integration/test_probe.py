"""What doctor says of agents: which are there, in which version, signed in or not, and what to do about it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.daemon.agents.probe import probe
from shared.config.agents import AgentSettings
from tests.agents import program

FIXES = {"claude": "run `claude` on this machine and sign in", "codex": "run `codex login`"}
KEYS = {"claude": "ANTHROPIC_API_KEY", "codex": "OPENAI_API_KEY"}


def machine(folder: Path, *agents: str) -> dict[str, str]:
    """The environment of a daemon on a machine that has these agents, and whose user never signed in."""
    programs = folder / "bin"
    programs.mkdir()
    for name in agents:
        (programs / name).symlink_to(Path(program(name)).resolve())
    system = [p for p in os.environ["PATH"].split(os.pathsep) if not any((Path(p) / a).exists() for a in KEYS)]
    return {"PATH": os.pathsep.join([str(programs), *system]), "HOME": str(folder)}


@pytest.mark.parametrize("present", [(), ("claude",), ("codex",), ("claude", "codex")])
def test_each_agent_is_found_or_its_fix_is_said(tmp_path: Path, present: tuple[str, ...]) -> None:
    own = machine(tmp_path, *present)
    for name in KEYS:
        found = probe(name, AgentSettings(kind=name), own)  # type: ignore[arg-type]
        if name in present:
            assert found.path and any(character.isdigit() for character in found.version)
            assert found.signed_in is False and f"agents.{name}.pass_environment '[\"{KEYS[name]}\"]'" in found.fix
        else:
            assert found.path is None and found.fix == f"install {name}, or leave the agent {name} unused"


@pytest.mark.parametrize("name", KEYS)
def test_a_key_that_is_passed_on_is_a_sign_in_and_one_that_is_not_is_none(tmp_path: Path, name: str) -> None:
    own = {**machine(tmp_path, name), KEYS[name]: "a-key"}
    assert probe(name, AgentSettings(kind=name), own).signed_in is False  # type: ignore[arg-type]
    passed = AgentSettings(kind=name, pass_environment=(KEYS[name],))  # type: ignore[arg-type]
    found = probe(name, passed, own)
    assert found.signed_in is True and found.fix == ""
    assert ("no cost budget has an effect" in found.note) == (name == "codex")
