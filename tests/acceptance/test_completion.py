"""Completion in the real shells at a terminal, with Tab: live numbers, whatever a title holds, and nothing is run."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte
import pytest

from tests.conftest import Cluster
from tests.waiting import until

COLUMNS, LINES = 100, 24
HOSTILE = (
    "$(touch pwned)", "`touch pwned`", "it's \"quoted\"", "a:b [c] {d} *", "; touch pwned", "\\n%s", "-x --help",
)  # fmt: skip
SHELLS = {
    "zsh": (["zsh", "-i"], "PS1='> '\nautoload -Uz compinit\ncompinit -u -D\nsource <(makima completions zsh)\n"),
    "fish": (["fish", "-C", "makima completions fish | source; function fish_prompt; echo '> '; end"], ""),
}


class Shell:
    """A shell at a terminal, seen as a person sees it."""

    def __init__(self, argv: list[str], folder: Path, environment: dict[str, str]) -> None:
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(argv[0], argv, environment)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._terminal, keys.encode())

    def shows(self, *words: str) -> bool:
        """Whether all of the words are on the screen by now."""
        while select.select([self._terminal], [], [], 0.05)[0]:
            self._stream.feed(os.read(self._terminal, 1 << 16))
        return all(word in self.text() for word in words)

    def text(self) -> str:
        """The screen."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()


@contextmanager
def shell(name: str, cluster: Cluster, folder: Path) -> Iterator[Shell]:
    """A shell whose person has asked for completion of makima."""
    argv, configured = SHELLS[name]
    (folder / ".zshrc").write_text(configured)
    (folder / "makima").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m cli "$@"\n')
    (folder / "makima").chmod(0o755)
    surroundings = {
        **cluster.environment,
        "PATH": f"{folder}:{cluster.environment['PATH']}",
        **{"TERM": "xterm", "HOME": str(folder), "ZDOTDIR": str(folder), "LC_ALL": "C.UTF-8"},
    }
    shell = Shell(argv, folder, surroundings)
    try:
        until(lambda: shell.shows(">"), shell.text, 60)
        yield shell
    finally:
        os.kill(shell.pid, 9)
        os.waitpid(shell.pid, 0)


@pytest.mark.parametrize("name", SHELLS)
def test_tab_offers_live_directives_and_runs_nothing_that_their_titles_say(
    cluster: Cluster, origin: Path, tmp_path: Path, name: str
) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    create = ("directive", "create", "--goal", "x", "--repo", str(origin), "--agent", "shell", "--quiet", "--title")
    numbers = [cluster.makima(*create, f"{title} {name}").strip() for title in HOSTILE]
    with shell(name, cluster, tmp_path) as person:
        person.press("makima show \t")
        until(lambda: person.shows(*HOSTILE), person.text, 60)
        assert all(number in person.text() for number in numbers)
        person.press("\x15makima sho\t")
        until(lambda: person.shows("> makima show"), person.text, 60)
        person.press(f"\x15makima show {numbers[0]}\t")
        until(lambda: person.shows(f"makima show {numbers[0]}"), person.text, 60)
        person.press("\r")
        until(lambda: person.shows(f"{HOSTILE[0]} {name}  draft"), person.text, 60)
    assert not (tmp_path / "pwned").exists()
