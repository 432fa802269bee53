"""Markdown that people and agents wrote, made fit to stand inside a text of ours on a forge. Pure.

It stays Markdown: lists, emphasis, code and links are as they were meant. But it holds no HTML, no images and no
headings, it calls nobody, closes nothing, and whatever it leaves open ends with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from shared.domain.inert import NOTHING, inert_body, inert_mentions
from shared.domain.texts import lines_of, one_line

MARKER = "<!-- makima:"
"""How comments begin by which our texts are found again."""
DEEPEST = 20
"""Levels of lists and quotes; a text with more is shown as it stands."""

_PARSER = MarkdownIt("commonmark", {"html": False, "maxNesting": DEEPEST})
_FORGE = MarkdownIt("commonmark", {"html": True}).enable("table")
_OURS = ("html_block", "html_inline", "heading_open", "image")
_CODE_OR_TEXT = re.compile(r"\\.|(?<!`)(?P<ticks>`+)(?!`)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)")
"""Code on one line: of what reaches over several, another line may begin a block of its own."""
_HEADING = re.compile(r"^(?P<before>(?:\W|\d{1,9}[.)])*?)#{1,6}(?:[ \t]+(?P<text>.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r"^[\s>]*(?:=+|-+)\s*$")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~&])")
_IMAGE = re.compile(r"(?P<slashes>\\*)!\[")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def safe(text: str, max_characters: int, orders: bool = False) -> str:
    """A text as Markdown that may stand anywhere; with `orders` what it says to the forge (closes #1, @name) counts."""
    cut = text if len(text) <= max_characters else f"{text[:max_characters].rstrip()} ..."
    lines = [_CONTROL.sub("", line) for line in lines_of(cut.strip("\n"))]
    tokens = _PARSER.parse("\n".join(lines))
    as_it_stands = _closed([f"    {line}" for line in lines], [], orders)
    if any(token.level >= DEEPEST - 1 for token in tokens):
        return as_it_stands
    made = _made(lines, tokens, orders)
    return as_it_stands if _holds_ours(made) else made


def plain(text: str) -> str:
    """A name on one line, which reads as it was typed: nothing in it is mark-up, calls anybody or closes anything.

    >>> plain("Add *args* <b>")
    'Add \\\\*args\\\\* \\\\<b\\\\>'
    """
    return inert_mentions(inert_body(_SPECIAL.sub(r"\\\1", one_line(text))))


def unmarked(text: str) -> str:
    """A text in which nothing reads as one of our marks."""
    return text.replace(MARKER, MARKER.replace("<!", f"<{NOTHING}!"))


def _made(given: Sequence[str], tokens: Sequence[Token], orders: bool) -> str:
    """The lines, with nothing but code as it was given."""
    lines = list(given)
    code = {at for token in tokens if token.type in ("fence", "code_block") for at in range(*_span(token))}
    for token in tokens:
        if token.type == "heading_open":
            _flatten(lines, token.markup, *_span(token))
    parts = [_block(lines[a:b], orders) if not verbatim else lines[a:b] for a, b, verbatim in _blocks(len(lines), code)]
    return _closed([line for part in parts for line in part], tokens, orders)


def _holds_ours(made: str) -> bool:
    """Whether a forge would still see in it what only the page may have: what began as code, say, and ended as HTML."""
    tokens = _FORGE.parse(made)
    return any(one.type in _OURS for token in tokens for one in (token, *(token.children or ())))


def _closed(lines: Sequence[str], tokens: Sequence[Token], orders: bool) -> str:
    """The lines, with the fence that the last of them leaves open closed."""
    last = next((t for t in reversed(tokens) if t.level == 0 and t.map), None)
    closed = [*lines, *([last.markup] if last is not None and last.type == "fence" and _open(lines) else [])]
    joined = unmarked("\n".join(closed))
    return joined if orders else inert_body(joined)


def _open(lines: Sequence[str]) -> bool:
    """Whether what stands after these lines would still be in the fence that is their last block."""
    return _PARSER.parse("\n".join([*lines, "", "after"]))[-1].type == "fence"


def _span(token: Token) -> tuple[int, int]:
    begin, end = token.map or (0, 0)
    return begin, end


def _blocks(count: int, code: set[int]) -> Iterator[tuple[int, int, bool]]:
    """Runs of lines that are all code, or none."""
    begin = 0
    for at in range(1, count + 1):
        if at == count or (at in code) != (begin in code):
            yield begin, at, begin in code
            begin = at


def _block(lines: Sequence[str], orders: bool) -> list[str]:
    """Lines outside of code blocks, with code spans as they are, and all else without HTML, images and names."""
    text, at, parts = "\n".join(lines), 0, []
    for found in _CODE_OR_TEXT.finditer(text):
        if found["code"] is not None:
            parts += [_harmless(text[at : found.start()], orders), found[0]]
            at = found.end()
    return "".join((*parts, _harmless(text[at:], orders))).split("\n")


def _harmless(text: str, orders: bool) -> str:
    shown = _IMAGE.sub(_unmade, text.replace("<", "&lt;"))
    return shown if orders else inert_mentions(shown)


def _unmade(image: re.Match[str]) -> str:
    """The beginning of an image as text; one that a backslash makes text already stays so."""
    slashes = image["slashes"]
    return image[0] if len(slashes) % 2 else f"{slashes}\\!["


def _flatten(lines: list[str], markup: str, begin: int, end: int) -> None:
    """Make a heading a paragraph in bold: the headings of the page are ours."""
    if markup.startswith("#") and (found := _HEADING.match(lines[begin])):
        words = (found["text"] or "").strip()
        lines[begin] = f"{found['before']}**{words}**" if words else found["before"].rstrip()
        if end < len(lines) and _UNDERLINE.match(lines[end]):  # which would make the paragraph a heading again
            lines[end] = re.sub(r"[=-]", r"\\\g<0>", lines[end], count=1)
    elif end - begin > 1 and _UNDERLINE.match(lines[end - 1]):
        lines[end - 1] = re.sub(r"[=-]", "", lines[end - 1]).rstrip()
