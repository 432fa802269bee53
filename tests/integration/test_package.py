"""The package: built, installed into an empty environment as a stranger's installer does, and used from there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.package import built, installed, run

CURRENT = f"3.{sys.version_info.minor}"
OTHERS = [version for version in ("3.11", "3.12", "3.13", "3.14") if version != CURRENT]
DEVELOPERS_OWN = ("pytest", "mypy", "ruff", "hypothesis")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built from this checkout."""
    return built(tmp_path_factory.mktemp("wheel"))


def test_it_holds_the_product_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        about = message_from_string(packed.read(next(n for n in names if n.endswith("/METADATA"))).decode())
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {
        "cli",
        "examples",
        "services",
        "shared",
    }
    checkout = {
        path.relative_to(ROOT).as_posix()
        for package in ("cli", "examples", "services", "shared")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert checkout == {name for name in names if ".dist-info/" not in name}, "every statement, prompt and migration"
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ">=3.11"


def test_it_names_what_the_lock_file_was_made_of(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        name = next(n for n in packed.namelist() if n.endswith("/METADATA"))
        about = message_from_string(packed.read(name).decode())
    wanted = {text.partition("[")[0].lower() for text in about.get_all("Requires-Dist", [])}
    locked = {
        line.partition("==")[0].partition("[")[0]
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if "==" in line
    }
    assert wanted <= locked
    assert wanted.isdisjoint(DEVELOPERS_OWN)


@pytest.mark.long
def test_the_demo_runs_from_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    python = installed(sys.executable, wheel, tmp_path)
    _demo(python, tmp_path)
    packages = run(tmp_path, str(python), "-m", "pip", "list", "--format=freeze").stdout
    assert not [name for name in DEVELOPERS_OWN if f"{name}==" in packages]


@pytest.mark.long
@pytest.mark.parametrize("version", OTHERS)
def test_the_demo_runs_on_other_pythons(wheel: Path, tmp_path: Path, version: str) -> None:
    if (found := _python(version)) is None:
        pytest.skip(f"this machine has no Python {version}")
    _demo(installed(found, wheel, tmp_path), tmp_path)


def _python(version: str) -> str | None:
    """An interpreter of this version that works: of PATH, or one that pyenv holds."""
    held = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for program in (shutil.which(f"python{version}"), *map(str, held)):
        if program and run(ROOT, program, "-c", "import venv, ensurepip").returncode == 0:
            return program
    return None


def _demo(python: Path, folder: Path) -> None:
    """Run the demo as somebody who has nothing but the package, git and an empty home."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    done = subprocess.run(
        [python.with_name("makima"), "demo"],
        cwd=home,
        env={"HOME": str(home), "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stdout.count("Delivered: makima/") == 2, done.stdout + done.stderr
