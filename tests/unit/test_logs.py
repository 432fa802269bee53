"""Logs of a process: of bounded size, from the level that is set, libraries' words like its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PROGRAM = """
import logging, structlog, sys
from shared.service.closing import outlive_full_logs
from shared.service.logs import configure_logs
outlive_full_logs()
configure_logs({level!r}, 4096)
log = structlog.get_logger()
{body}
"""


def logged(folder: Path, body: str, level: str = "info") -> list[str]:
    """The lines that a process with a log in this folder leaves, the oldest first, what was set aside included."""
    file = folder / "a.log"
    with file.open("ab") as output:
        subprocess.run(
            [sys.executable, "-c", PROGRAM.format(level=level, body=body)],
            env={"PYTHONPATH": str(ROOT), "MAKIMA_LOG_FILE": str(file)},
            stderr=output,
            stdout=output,
            timeout=60,
            check=False,
        )
    return [line for path in sorted(folder.iterdir(), reverse=True) for line in path.read_text().splitlines()]


def test_a_log_is_set_aside_when_it_is_full_and_the_last_three_are_kept(tmp_path: Path) -> None:
    lines = logged(tmp_path, "for n in range(400): log.info('a line', n=n)")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2", "a.log.3"]
    assert all(p.stat().st_size < 4096 + 200 for p in tmp_path.iterdir())
    numbers = [json.loads(line)["n"] for line in lines]
    assert numbers == list(range(numbers[0], 400))


def test_what_anything_else_prints_goes_to_the_newest_file(tmp_path: Path) -> None:
    logged(
        tmp_path,
        "for n in range(60): log.info('a line', n=n)\nimport os\nos.write(2, b'last\\n'); os.write(1, b'words\\n')",
    )
    assert (tmp_path / "a.log").read_text().splitlines()[-2:] == ["last", "words"]


@pytest.mark.parametrize(("level", "seen"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_a_level_hides_what_is_less_serious(tmp_path: Path, level: str, seen: int) -> None:
    lines = logged(tmp_path, "for name in ('debug', 'info', 'warning', 'error'): getattr(log, name)('said')", level)
    assert len(lines) == seen


def test_libraries_and_an_end_by_an_error_speak_the_same_format(tmp_path: Path) -> None:
    body = "logging.getLogger('uvicorn.error').warning('bad %s', 'request')\nraise ValueError('no room')"
    first, last = map(json.loads, logged(tmp_path, body))
    assert (first["event"], first["logger"], first["level"]) == ("bad request", "uvicorn.error", "warning")
    assert last["event"] == "process broke" and "ValueError: no room" in last["exception"]
