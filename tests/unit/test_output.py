"""An agent's output: bounded, clean, its first and last half kept, whatever it prints."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import structlog

from services.daemon.runs.output import Lines, Log
from shared.domain.delivery import Commit, Delivered
from shared.domain.ids import new_id
from shared.domain.masking import IDENTIFIERS, Mask, secrets
from shared.messages.reports import (
    OutputBatch,
    Report,
    TaskFailed,
    TaskInterrupted,
    TaskStarted,
    TaskSucceeded,
)
from shared.service.logs import configure_logs


def lines(splitter: Lines, *chunks: bytes) -> list[str]:
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.rest()


def test_lines_may_be_cut_anywhere() -> None:
    assert lines(Lines(), b"on", b"e\ntwo", b"\n", b"\nlast") == ["one", "two", "", "last"]


def test_characters_may_be_cut_anywhere() -> None:
    assert lines(Lines(), *(bytes((b,)) for b in "ä€🎈\n".encode())) == ["ä€🎈"]


def test_a_long_line_is_cut_with_a_mark() -> None:
    assert lines(Lines(longest=4), b"abc", b"def\nxyz\n") == ["abcd [2 bytes cut]", "xyz"]


def test_of_an_endless_output_the_first_and_the_last_half_are_kept(tmp_path: Path) -> None:
    log = Log(tmp_path, Mask().all, max_bytes=16)
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
    log = Log(tmp_path / "not there", Mask().all, max_bytes=8)
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
        ("clone https://me:pa@ss@example.com/x.git", "clone https://***@example.com/x.git"),
        ("https://abcdefghijklmnopqrstuvwxyz@example.com", "https://***@example.com"),
        ("ssh://git@example.com/x", "ssh://git@example.com/x"),
        ('{"at":"http://h:80","mail":"x@y"}', '{"at":"http://h:80","mail":"x@y"}'),
        ("\u202eevil\u202c \u2066x\u2069", "evil x"),
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


def test_a_short_secret_is_masked_as_a_word_and_a_shorter_one_not_at_all() -> None:
    mask = Mask(["hunter2", "main", "true"])
    assert mask("hunter2, hunter22 and xhunter2; main is true") == "***, hunter22 and xhunter2; main is true"


def test_a_secret_is_known_in_each_form_that_it_may_be_printed_in() -> None:
    mask = Mask(["first line of it\nsecond line of it", 'with "quotes"', "p@ss/word"])
    assert mask.all(["first line of it", "second line of it", "other"]) == ["***", "***", "other"]
    assert mask(r'{"a":"with \"quotes\""} at p%40ss%2Fword') == '{"a":"***"} at ***'


def test_a_secret_that_came_in_pieces_is_masked_once_its_line_is_whole(tmp_path: Path) -> None:
    log, splitter = Log(tmp_path, Mask(["correct horse"]).all), Lines()
    for piece in (b"it is corr", b"ect ho", b"rse\n"):
        log.add(splitter.feed(piece))
    assert log.take() == ["it is ***"]


def test_secrets_are_told_by_their_names_and_as_passwords_of_addresses() -> None:
    given = {"GITEA_TOKEN": "t1", "db_password": "p1", "GIT_AUTHOR_NAME": "Ann", "PROXY": "http://u:p%402@h", "N": "n"}
    assert sorted(secrets(given)) == ["p%402", "p1", "p@2", "t1"]


REPORTS = (TaskSucceeded, TaskFailed, TaskInterrupted, TaskStarted, OutputBatch)


@pytest.mark.parametrize("kind", REPORTS)
def test_no_text_of_any_report_holds_a_secret(kind: type[Report]) -> None:
    secret, texts = "correct horse", "say \x1b[1mcorrect horse\u202e and http://me:hunter2secret@h/x"
    values: dict[str, object] = {"seq": 1, "task": new_id(), "attempt": 1}
    for field in msgspec.structs.fields(kind):
        if field.name in values or field.name in IDENTIFIERS:
            continue
        for made in (texts, (texts,), (Commit(sha="a" * 40, subject=texts),), _delivered(texts), new_id(), 1):
            try:
                values[field.name] = msgspec.convert(msgspec.to_builtins(made), field.type)
                break
            except msgspec.ValidationError:
                continue
    report = Mask([secret]).struct(kind(**values))  # type: ignore[arg-type]
    said = msgspec.json.encode(report).decode()
    assert "***" in said and secret not in said and "hunter2secret" not in said
    assert "\u202e" not in said and "u001b" not in said and report.seq == 1


def _delivered(text: str) -> Delivered:
    return Delivered(branch="b", head="h", notes=(text,))


def test_what_is_no_text_stays_what_it_is() -> None:
    report = TaskSucceeded(seq=1, task=new_id(), attempt=1, branch="makima/correct horse", head="correct horse")
    assert Mask(["correct horse"]).struct(report) is report


def test_a_services_log_holds_no_secret(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GITEA_TOKEN", "correct horse")
    configure_logs()
    try:
        raise ValueError("http://me:hunter2secret@h/x said correct horse")
    except ValueError:
        structlog.get_logger().exception("broke", url="http://me:hunter2secret@h/x", parts=["correct horse"])
    said = capsys.readouterr().err
    structlog.reset_defaults()
    assert "ValueError" in said and "***" in said
    assert "correct horse" not in said and "hunter2secret" not in said
