"""tools/install.sh, with real pip and venv, on a checkout whose locked packages are small wheels in a folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

QUICK_SECONDS = 0.3
"""What a call may add to a recipe once everything is there."""


class Checkout:
    """A folder with the script, its lock files, and the packages that they name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        (self.folder / "tools").mkdir(parents=True)
        shutil.copy(ROOT / "tools" / "install.sh", self.folder / "tools")
        shutil.copy(ROOT / "justw", self.folder)
        self.lock("requirements.txt", "library")
        self.lock("requirements-dev.txt", "library", "checker", "rust-just")

    def lock(self, name: str, *packages: str, version: str = "1.0") -> None:
        """Write a lock file as the real ones are written, and the wheels that it names."""
        lines = [
            f"{p}=={version} \\\n    --hash=sha256:{self._wheel(p, version)}\n    # via -r x.in\n" for p in packages
        ]
        (self.folder / name).write_text("".join(lines))

    def run(self, *command: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
        """Run one of its scripts without any package index."""
        env = {"PATH": path, "HOME": str(self.folder), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels)}
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)

    def packages(self) -> set[str]:
        """The locked packages that are installed."""
        return {path.stem.split("-")[0] for path in self.folder.glob(".venv/lib/*/site-packages/*-1.?.dist-info")}

    def _wheel(self, package: str, version: str) -> str:
        name = package.replace("-", "_")
        path = self.wheels / f"{name}-{version}-py3-none-any.whl"
        about, script = f"{name}-{version}.dist-info", f"{name}-{version}.data/scripts/just"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{about}/RECORD", "")
            if package == "rust-just":
                entry = zipfile.ZipInfo(script)
                entry.external_attr = 0o100755 << 16
                wheel.writestr(entry, "#!/bin/sh\necho just: $*\n")
        return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout in which nothing is installed yet."""
    return Checkout(tmp_path)


def test_the_first_call_installs_the_runtime_alone_and_says_so_and_the_second_is_silent_and_quick(
    checkout: Checkout,
) -> None:
    first = checkout.run("./justw", "demo")

    assert first.stdout == "just: demo\n", first.stderr
    assert [line for line in first.stderr.splitlines() if line.startswith("makima: ")][1:] == [
        "makima: installing what makima runs on, once"
    ]
    assert {"library", "rust_just"} <= checkout.packages()
    assert "checker" not in checkout.packages()

    started = time.monotonic()
    second = checkout.run("./justw", "demo")
    assert time.monotonic() - started < QUICK_SECONDS
    assert (second.stdout, second.stderr) == ("just: demo\n", "")


@pytest.mark.long
def test_a_changed_lock_file_and_a_moved_checkout_are_installed_anew(checkout: Checkout) -> None:
    checkout.run("tools/install.sh", "developer")
    assert "checker" in checkout.packages()

    checkout.lock("requirements-dev.txt", "library", "checker", "rust-just", "added")
    checkout.run("tools/install.sh", "developer")
    assert "added" in checkout.packages()

    checkout.folder = checkout.folder.rename(checkout.folder.with_name("moved"))
    checkout.run("tools/install.sh", "runtime")
    makima = checkout.run(".venv/bin/python", "-c", "import sys; print(sys.path)").stdout
    assert str(checkout.folder) in makima
    assert str(checkout.folder.with_name("checkout")) not in makima


def test_an_installation_that_failed_is_said_and_the_next_call_goes_on_from_there(checkout: Checkout) -> None:
    (wheel,) = checkout.wheels.glob("library-*")
    hidden = wheel.rename(wheel.with_suffix(".hidden"))
    failed = checkout.run("./justw", "demo")
    assert failed.returncode == 1
    assert "library" in failed.stderr
    assert failed.stderr.endswith("makima: that could not be installed: see above; the next call goes on from here\n")

    hidden.rename(wheel)
    assert checkout.run("./justw", "demo").stdout == "just: demo\n"


@pytest.mark.parametrize(
    ("present", "said"),
    [
        ((), "git is missing: install your system's package git"),
        (
            ("git",),
            "Python 3.11 or newer with venv is missing: install your system's packages python3 and python3-venv",
        ),
    ],
)
def test_what_has_to_be_there_before_is_named_when_it_is_missing(
    checkout: Checkout, tmp_path: Path, present: tuple[str, ...], said: str
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "dirname", "cat", *present):
        (programs / name).symlink_to(shutil.which(name) or "/missing")
    missing = checkout.run("./justw", "demo", path=str(programs))
    assert (missing.returncode, missing.stderr) == (1, f"makima: {said}\n")
