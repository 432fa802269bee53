"""What the documents tell a person to type: blocks of shell, and commands within their sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.conftest import ROOT

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = ("makima", "uv", "pipx", "docker", "just", "./justw", "git", "curl", "ssh", "chmod", "rm", "df", "du")
_COMMAND = re.compile(rf"(?:[A-Z_]+=\S+ )*(?:{'|'.join(map(re.escape, PROGRAMS))}) \S")
_NAME = re.compile(r"(?:makima|just|git) [a-z]+(-[a-z]+)*( [a-z]+(-[a-z]+)*)?")
"""A command that a sentence only names."""
_COMMENT = re.compile(r"(?:^|\s+)#\s.*$", re.MULTILINE)


def told(document: Path) -> Iterator[list[str]]:
    """What a document tells a person to type, in order: a block's commands without comments, or a sentence's one."""
    for token in _tokens(document):
        if token.type == "code_block" or (token.type == "fence" and token.info == "sh"):
            text = _COMMENT.sub("", token.content.replace("\\\n", ""))
            yield [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        yield from ([command] for command in _in_sentences(token) if not _NAME.fullmatch(command))


def named(document: Path) -> Iterator[str]:
    """The commands that a document only names."""
    for token in _tokens(document):
        yield from filter(_NAME.fullmatch, _in_sentences(token))


def _tokens(document: Path) -> list[Token]:
    return MarkdownIt().enable("table").parse(document.read_text())


def _in_sentences(token: Token) -> Iterator[str]:
    for child in token.children or ():
        if child.type == "code_inline" and _COMMAND.match(child.content):
            yield child.content
