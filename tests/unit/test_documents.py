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
_LINK = re.compile(r"\]\(([^)\s]+)\)")
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


def linked(document: Path) -> Iterator[Path]:
    """The files that a document links to."""
    for target in _LINK.findall(document.read_text()):
        if "://" not in target and not target.startswith("#"):
            yield (document.parent / target.partition("#")[0]).resolve()


def test_every_link_leads_somewhere_and_every_document_is_reached_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    assert index in set(linked(ROOT / "README.md"))
    reached, due = {index}, [index]
    while due:
        document = due.pop()
        for target in linked(document):
            assert target.exists(), f"{document.relative_to(ROOT)} links to {target}, which isn't there"
            if target.suffix == ".md" and target not in reached:
                reached.add(target)
                due.append(target)
    assert {path for path in (ROOT / "docs").rglob("*.md")} <= reached


def test_alerts_and_guides_name_metrics_that_there_are() -> None:
    known = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs/reference/metrics.md").read_text(), re.MULTILINE))
    for name in ("alerts.yaml", "monitoring.md"):
        named = set(re.findall(r"\b(?:makima|process)_[a-z_]+", (ROOT / "docs/guides" / name).read_text()))
        assert {re.sub("_bucket$", "", metric) for metric in named} <= known, name
