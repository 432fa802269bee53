"""`makima daemon install`: what it writes has the system run this home's daemon, whatever its folder is called."""

from __future__ import annotations

import os
import plistlib
import subprocess
import sys
from pathlib import Path

from cli.installing import plist
from tests.conftest import ROOT

ODD = 'a "home" with 100% of \\ and $HOME'


def install(home: Path, account: Path, *arguments: str, code: int = 0) -> str:
    """What it says; its error line where `code` isn't 0."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(account), "MAKIMA_HOME": str(home), "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "cli", "daemon", "install", *arguments]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def words(line: str) -> list[str]:
    """The quoted words of a unit's line, as systemd reads them: systemd.syntax(7)."""
    read: list[str] = []
    for part in line.split('" "'):
        text = part.removeprefix('"').removesuffix('"').replace("%%", "%")
        read.append(text.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\"))
    return read


def test_the_unit_runs_the_daemon_of_this_home(tmp_path: Path) -> None:
    home = tmp_path / ODD
    said = install(home, tmp_path)
    unit = tmp_path / ".config" / "systemd" / "user" / "makima-daemon.service"
    assert str(unit) in said and "systemctl --user enable --now makima-daemon" in said
    lines = unit.read_text().splitlines()
    (command,) = [line.removeprefix("ExecStart=") for line in lines if line.startswith("ExecStart=")]
    variables = [words(line.removeprefix("Environment=")) for line in lines if line.startswith("Environment=")]
    environment = dict(one.split("=", 1) for (one,) in variables)
    assert environment["MAKIMA_HOME"] == str(home)
    argv = [word.replace("$$", "$") for word in words(command)]
    ran = subprocess.run(argv, env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert "the daemon's key for the bus isn't there" in ran.stderr, "it is the daemon that was run, without a cluster"


def test_a_unit_for_another_home_stays(tmp_path: Path) -> None:
    install(tmp_path / "one", tmp_path)
    assert "is for the daemon of another home" in install(tmp_path / "two", tmp_path, code=1)
    install(tmp_path / "one", tmp_path)


def test_it_can_only_be_shown(tmp_path: Path) -> None:
    assert "ExecStart=" in install(tmp_path / "home", tmp_path, "--print")
    assert not (tmp_path / ".config").exists()


def test_on_a_mac_it_is_a_launch_agent() -> None:
    read = plistlib.loads(plist(["python", "-m", "cli"], {"MAKIMA_HOME": "/h<&>"}).encode())
    assert (read["ProgramArguments"], read["KeepAlive"]) == (["python", "-m", "cli"], True)
    assert read["EnvironmentVariables"]["MAKIMA_HOME"] == "/h<&>"
