"""An agent's output: bounded, whatever it prints."""

from __future__ import annotations

from services.daemon.output import Output


def lines(output: Output, *chunks: bytes) -> list[str]:
    for chunk in chunks:
        output.feed(chunk)
    output.finish()
    return output.take()


def test_lines_may_be_cut_anywhere() -> None:
    assert lines(Output(), b"on", b"e\ntwo", b"\n", b"\nlast") == ["one", "two", "", "last"]


def test_letters_may_be_cut_anywhere() -> None:
    assert lines(Output(), *(bytes((b,)) for b in "ä€🎈\n".encode())) == ["ä€🎈"]


def test_what_is_no_text_is_shown_as_such() -> None:
    assert lines(Output(), b"a\0b\xff\n") == ["ab�"]


def test_a_long_line_is_cut_with_a_mark() -> None:
    assert lines(Output(longest_line=4), b"abc", b"def\nxyz\n") == ["abcd [2 bytes cut]", "xyz"]


def test_an_endless_output_is_cut_with_a_mark_and_keeps_its_tail() -> None:
    output = Output(most_bytes=8)
    assert lines(output, b"one\ntwo\nthree\nlast\n") == ["one", "two", "[output cut at 8 bytes: 11 more]"]
    assert output.outcome().endswith("last")


def test_once_cut_it_only_counts_and_counts_right() -> None:
    output = Output(most_bytes=4)
    shown = lines(output, b"one\ntwo\nth", b"ree\n" * 1000, b"end\n")
    assert shown == ["one", f"[output cut at 4 bytes: {4 + 2 + 4000 + 4} more]"]
    assert output.outcome().endswith("ree\nend")
