"""Caches of package managers that attempts on a daemon share where the settings name them. Pure.

They lie in the daemon's folder, never in the account's HOME: what an agent puts there reaches other agents, and nobody
else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from shared.config.settings import SharedCache

_VARIABLES: Mapping[SharedCache, Mapping[str, str]] = {
    "cargo": {"CARGO_HOME": "{}"},
    "go": {"GOMODCACHE": "{}/mod", "GOCACHE": "{}/build"},
    "gradle": {"GRADLE_USER_HOME": "{}"},
    "maven": {"MAVEN_ARGS": "-Dmaven.repo.local={}"},
    "npm": {"npm_config_cache": "{}"},
    "pip": {"PIP_CACHE_DIR": "{}"},
    "pnpm": {"npm_config_store_dir": "{}"},
    "uv": {"UV_CACHE_DIR": "{}"},
    "yarn": {"YARN_CACHE_FOLDER": "{}"},
}
"""What leads each program to its cache."""


def folders(parent: Path, named: Iterable[SharedCache]) -> tuple[Path, ...]:
    """Where they lie."""
    return tuple(parent / name for name in named)


def variables(parent: Path, named: Iterable[SharedCache]) -> dict[str, str]:
    """What leads programs there.

    >>> variables(Path("/c"), ["go"])
    {'GOMODCACHE': '/c/go/mod', 'GOCACHE': '/c/go/build'}
    """
    return {key: text.format(parent / name) for name in named for key, text in _VARIABLES[name].items()}
