"""An agent's output: bounded, clean, its first and last half kept, whatever it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.daemon.runs.masking import Mask
from services.daemon.runs.output import Lines, Log


def lines(splitter: Lines, *chunks: bytes) -> list[str]:
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.rest()


def test_lines_may_be_cut_anywhere() -> None:
    assert lines(Lines(), b"on", b"e\ntwo", b"\n", b"\nlast") == ["one", "two", "", "last"]


def test_letters_may_be_cut_anywhere() -> None:
    assert lines(Lines(), *(bytes((b,)) for b in "ä€🎈\n".encode())) == ["ä€🎈"]


def test_a_long_line_is_cut_with_a_mark() -> None:
    assert lines(Lines(longest=4), b"abc", b"def\nxyz\n") == ["abcd [2 bytes cut]", "xyz"]


def test_of_an_endless_output_the_first_and_the_last_half_are_kept(tmp_path: Path) -> None:
    log = Log(tmp_path, Mask().all, most_bytes=16)
    log.add(["one", "two"])
    assert log.take()[:2] == ["one", "two"] and log.full
    for _ in range(1000):
        log.add_bytes(b"never shown\n")
    log.add(["end"])
    log.finish()
    mark, *last = log.take()
    assert mark == f"[{12 * 1000 + 4 - 8} bytes cut]"
    assert last == ["own", "end"]
    assert log.outcome().endswith("own\nend")


def test_a_disk_that_refuses_costs_the_end_of_the_output_and_no_more(tmp_path: Path) -> None:
    log = Log(tmp_path / "not there", Mask().all, most_bytes=8)
    log.add(["one", "two", "three"])
    log.finish()
    assert [line for line in log.take() if "bytes" not in line] == ["one"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a\0b�", "ab�"),
        ("\x1b[1;31mred\x1b[0m \x1b]0;title\x07plain", "red plain"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("tab\tstays", "tab\tstays"),
        ("key sk-ant-api03-abcdefghijklmnopqrst end", "key *** end"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "***"),
        ("clone https://me:pass@example.com/x.git", "clone https://***@example.com/x.git"),
        ("the value is correct horse battery", "the value is *** battery"),
        ("a word of sk-ill and ghp_x", "a word of sk-ill and ghp_x"),
    ],
)
def test_secrets_and_escapes_never_leave(said: str, shown: str) -> None:
    assert Mask(["correct horse", "short"])(said) == shown


def test_many_lines_are_cleaned_as_each_of_them_would_be() -> None:
    mask = Mask(["correct horse"])
    lines = [
        "plain",
        "\ttabbed",
        "",
        "it is correct horse",
        "correct",
        "horse",
        "\x1b[31mred\x1b[0m",
        "sk-ant-" + "a" * 20,
    ]
    for some in ([], lines[:3], lines[:4], lines[4:6], lines):
        assert mask.all(some) == [mask(line) for line in some]
