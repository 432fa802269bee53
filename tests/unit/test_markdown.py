"""Markdown of others inside our own: still Markdown, and nothing in it reaches beyond it."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from shared.domain.markdown import MARKER, plain, safe

FORGE = MarkdownIt("gfm-like", {"html": True, "linkify": False})
NO_MARK_UP = {"html_block", "html_inline", "heading_open", "image"}


def types(text: str) -> list[str]:
    """All that a forge's reader sees in a text, with what lies within."""
    return [t.type for token in FORGE.parse(text) for t in (token, *(token.children or ()))]


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("a **bold** word and `code`", "<p>a <strong>bold</strong> word and <code>code</code></p>"),
        ("- one\n- two", "<ul>\n<li>one</li>\n<li>two</li>\n</ul>"),
        ("# Big\ntext", "<p><strong>Big</strong>\ntext</p>"),
        ("1. # Big", "<ol>\n<li><strong>Big</strong></li>\n</ol>"),
        ("Big\n===\ntext", "<p>Big</p>\n<p>text</p>"),
        ("`# \n===", "<p>`#</p>"),
        ("# `\n===", "<p><strong>`</strong>\n===</p>"),
        ("<b>x</b> `<b>`", "<p>&lt;b&gt;x&lt;/b&gt; <code>&lt;b&gt;</code></p>"),
        ("<!-- hidden -->", "<p>&lt;!-- hidden --&gt;</p>"),
        ("```py\n<a>\n@x", '<pre><code class="language-py">&lt;a&gt;\n@x\n</code></pre>'),
        ("~~~\nopen", "<pre><code>open\n</code></pre>"),
        ("![p](http://e/x.png)", '<p>!<a href="http://e/x.png">p</a></p>'),
        ("see [it](http://e/x)", '<p>see <a href="http://e/x">it</a></p>'),
        ("ask @octocat, closes #12", "<p>ask @\u200boctocat, closes #\u200b12</p>"),
        ("`@decorator` stays", "<p><code>@decorator</code> stays</p>"),
        ("</details>\n\nx", "<p>&lt;/details&gt;</p>\n<p>x</p>"),
        ("<pre>\n```\n<i>", "<p>&lt;pre&gt;</p>\n<pre><code>&lt;i&gt;\n</code></pre>"),
    ],
)
def test_what_is_typed_is_shown_as_it_was_meant(typed: str, shown: str) -> None:
    assert FORGE.render(safe(typed, 1000)).strip() == shown


def test_what_an_order_says_to_the_forge_counts_but_no_mark_up_of_its() -> None:
    assert safe("closes #12, @octocat <b>", 100, orders=True) == "closes #12, @octocat &lt;b>"


MARKS = (
    "`",
    "``",
    "```",
    "~~~",
    "===",
    "---",
    "<b>",
    "</details>",
    "-->",
    "<pre>",
    "<script>",
    "@name",
    "\\",
    "|",
    "*",
    "&",
)
SPACED = (
    "![a](b)",
    "[a](b)",
    "\n",
    "\n\n",
    "    ",
    "\t",
    "- ",
    "1. ",
    "> ",
    "# ",
    "<!-- ",
    "[a]: b",
    "closes #1",
    "x ",
    "\r",
    "\u2028",
)
PIECES = st.sampled_from((*MARKS, *SPACED, MARKER))


@given(st.lists(PIECES, max_size=30).map("".join))
@example("\\![a](b)")
@example("`\n</details>`")
@example("```\n    ```")
@example("1. # ")
@example("`\r`<b>`")
def test_nothing_in_it_is_mark_up_of_the_page_or_reaches_beyond_it(typed: str) -> None:
    made = safe(typed, 10_000)
    assert not NO_MARK_UP & set(types(made)), made
    *_, begin, words, end = FORGE.parse(f"{made}\n\n## Ours\n")
    assert (begin.type, begin.level, words.content, end.type) == ("heading_open", 0, "Ours", "heading_close"), made
    assert MARKER not in made and not re.search(r"(?<!\w)closes #\d", made)


@given(st.lists(PIECES, max_size=20).map("".join))
def test_a_name_reads_as_it_was_typed(typed: str) -> None:
    inline = [t for token in FORGE.parse(f"- **x** {plain(typed)}") for t in token.children or ()]
    assert {t.type for t in inline} <= {"text", "text_special", "strong_open", "strong_close", "softbreak"}


def test_a_long_one_is_cut() -> None:
    assert safe("word " * 100, 20) == "word word word word ..."
