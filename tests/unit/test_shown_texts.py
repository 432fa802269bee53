"""What people and agents typed, inside other texts: on its line, quoted, cut, without credentials or tricks."""

from __future__ import annotations

import pytest

from shared.domain.plain import plain
from shared.domain.texts import cut, one_line, quoted, without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\r\nb\tc", "a b c"), ("  a  ", "a"), ("a\x1b[31mb", "a [31mb"), ("a\u202eb\u2069c", "abc"), ("\x00", "")],
)
def test_a_text_on_one_line(text: str, shown: str) -> None:
    assert one_line(text) == shown


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"])
def test_every_line_is_quoted_whatever_ends_it(line_end: str) -> None:
    assert quoted(f"\none{line_end}{line_end}two\n") == "  > one\n  >\n  > two"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@example.org/a.git", "https://example.org/a.git"),
        ("ssh://git@example.org/a.git", "ssh://example.org/a.git"),
        ("https://example.org/a@b.git", "https://example.org/a@b.git"),
        ("git@example.org:a.git", "git@example.org:a.git"),
    ],
)
def test_an_address_is_shown_without_its_credentials(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("abcdefgh", 8, "abcdefgh"),
        ("abcdefghi", 8, "abcd ..."),
        ("ääää", 7, "ä ..."),
        ("ääää", 8, "ääää"),
        ("abcdefgh\ud83d", 8, "abcd ..."),
        ("abcdef", 3, " ..."),
    ],
)
def test_a_text_is_cut_at_so_many_bytes_and_says_so(text: str, most: int, shown: str) -> None:
    assert cut(text, most) == shown


def test_controls_and_turns_go_while_lines_and_tabs_stay() -> None:
    assert plain("a\x1b[2J\x7f\x85\u202db\n\tc\r\x00") == "a[2Jb\n\tc\x00"
