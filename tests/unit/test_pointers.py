"""Pointers as git-lfs writes them, and what is none."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from services.daemon.git.pointers import LONGEST, Pointer, parse
from tests.programs import program

OID = hashlib.sha256(b"x").hexdigest()
V1 = "https://git-lfs.github.com/spec/v1"


def test_a_pointer_is_written_as_git_lfs_itself_does(tmp_path: Path) -> None:
    subprocess.run(("git", "init", "-q", str(tmp_path)), check=True)
    said = subprocess.run(
        (program("git-lfs"), "clean"), cwd=tmp_path, input=b"x" * 5000, capture_output=True, check=True
    )
    ours = Pointer(hashlib.sha256(b"x" * 5000).hexdigest(), 5000)
    assert said.stdout == ours.text
    assert parse(ours.text) == ours


@pytest.mark.parametrize(
    "text",
    [
        f"version {V1}\noid sha256:{OID}\nsize 5\n",
        f"version {V1}\noid sha256:{OID}\nsize 5",
        f"version https://hawser.github.com/spec/v1\noid sha256:{OID}\nsize 5\n",
        f"version {V1}\next-0-foo sha256:{OID}\noid sha256:{OID}\nsize 5\n",
    ],
)
def test_what_git_lfs_takes_for_a_pointer(text: str) -> None:
    assert parse(text.encode()) == Pointer(OID, 5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"version {V1}\noid sha256:{OID}\n",
        f"version {V1}\noid sha256:{OID[:-1]}\nsize 5\n",
        f"version {V1}\noid sha256:{OID.upper()}\nsize 5\n",
        f"version {V1}\noid sha256:{OID}\nsize -5\n",
        f"version {V1}\noid sha256:{OID}\nsize 05\n",
        f"version {V1}\noid sha256:../../{OID[6:]}\nsize 5\n",
        f"version {V1}\noid md5:{OID}\nsize 5\n",
        f"version https://example.org/v1\noid sha256:{OID}\nsize 5\n",
        f"version {V1}\noid sha256:{OID}\nsize 5\n" + "x" * LONGEST,
        f"version {V1}\noid sha256:{OID}\nsize {'9' * 30}\n",
    ],
)
def test_what_is_no_pointer(text: str) -> None:
    assert parse(text.encode()) is None
