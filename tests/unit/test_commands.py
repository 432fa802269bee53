"""Every command can be declared, says what it is for, and loads only what it needs."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cli.main import COMMANDS
from cli.parsing import Parser, tree
from tests.conftest import ROOT


def loaded_by(*words: str) -> set[str]:
    """The modules that are loaded once a command line has been read."""
    code = f"""
import sys
from cli.main import _parser
try:
    _parser({list(words)!r}).parse_args({list(words)!r})
except SystemExit as error:
    assert error.code == 0, error
print(" ".join(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split("\n")[-2].split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    assert f"cli.{command}" in loaded_by(command, "--help") or command not in ("directive", "task", "daemon")


def test_what_agents_wait_for_loads_no_heavy_library() -> None:
    loaded = loaded_by("directive", "add-step", "x", "--directive", "y")
    assert not loaded & {"rich", "yaml", "msgspec", "psycopg", "zmq", "httpx", "asyncio", "shared.config", "services"}


def verbs() -> Iterator[argparse.ArgumentParser]:
    """Every parser that carries something out."""
    for name, (declared_by, says) in COMMANDS.items():
        module, _, function = declared_by.partition(":")
        parser = Parser(prog=f"makima {name}", description=says)
        getattr(importlib.import_module(module), function)(parser)
        yield from (one for one in tree(parser) if one.get_default("verb"))


@pytest.mark.parametrize("verb", list(verbs()), ids=lambda verb: verb.prog)
def test_every_verb_has_words_an_example_and_every_option_help(verb: argparse.ArgumentParser) -> None:
    assert verb.description
    options = [action for action in verb._actions if not isinstance(action, argparse._SubParsersAction)]
    assert [action.dest for action in options if not action.help] == []
    examples = verb.get_default("examples")
    assert examples and all(verb.prog in example for example in examples)
    assert all(example in verb.format_help() for example in examples)


def test_help_of_a_verb_is_its_own_and_exit_codes_and_names_are_topics() -> None:
    assert "makima directive pause 12" in said("help", "directive", "pause")
    assert said("help", "directive", "pause") == said("directive", "pause", "--help")
    assert "12/plan" in said("help", "names")
    assert "130  Ctrl-C" in said("help", "exit-codes")


def said(*words: str) -> str:
    """What a command prints."""
    argv = [sys.executable, "-m", "cli", *words]
    return subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=True).stdout
