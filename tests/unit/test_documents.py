"""What the documents tell a person to type is what the command line takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.main import _parser
from tests.conftest import ROOT

_BLOCK = re.compile(r"^(?:    |\$ )+(?:docker compose exec gateway )?(makima .+)$", re.MULTILINE)
_INLINE = re.compile(r"`(makima [^`\n]+)`")
_ENDS = re.compile(r"\s+(?:#|<|>|\||&&|;).*$|\s*…+.*$")
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def told(document: Path) -> Iterator[str]:
    """The commands of a document, as they stand in it."""
    text = document.read_text()
    if document.parent.name == "reference":
        return  # made of the parsers themselves
    yield from _BLOCK.findall(text)
    yield from _INLINE.findall(text)


COMMANDS = sorted({(str(path.relative_to(ROOT)), command) for path in DOCUMENTS for command in told(path)})


@pytest.mark.parametrize(("document", "command"), COMMANDS)
def test_a_command_that_a_document_names_is_taken(document: str, command: str) -> None:
    _, *words = shlex.split(_ENDS.sub("", command))
    try:
        _parser(words).parse_args(words)
    except SystemExit as ended:
        partly = any(word in command for word in ("…", "COMMAND")) or len(words) < 3
        assert partly or ended.code == 0, f"{document}: {command}"


def test_there_are_such_commands() -> None:
    assert len(COMMANDS) > 40
