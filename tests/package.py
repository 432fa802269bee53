"""The package, built from this checkout and installed as a stranger's installer does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, however it ends."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def built(folder: Path) -> Path:
    """The wheel, made in a folder."""
    done = run(ROOT, sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("*.whl")
    return found


def installed(python: str, wheel: Path, folder: Path) -> Path:
    """The Python of a new environment that has the package, with what the lock file names."""
    made = run(folder, python, "-m", "venv", "environment")
    assert made.returncode == 0, made.stderr
    inside = folder / "environment" / "bin" / "python"
    for what in (("--require-hashes", "-r", str(ROOT / "requirements.txt")), ("--no-deps", str(wheel))):
        done = run(folder, str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what)
        assert done.returncode == 0, done.stderr
    return inside
