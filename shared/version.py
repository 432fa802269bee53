"""Which version this is."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def _found() -> str:
    """What was installed, else what this copy of the source says."""
    source = Path(__file__).parents[1] / "pyproject.toml"
    try:
        if source.exists():
            return str(tomllib.loads(source.read_text(encoding="utf-8"))["project"]["version"])
        return version("makima")
    except (PackageNotFoundError, KeyError, tomllib.TOMLDecodeError):
        return "of no known version"


VERSION = _found()
