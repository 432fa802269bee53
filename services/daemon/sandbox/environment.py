"""What a private HOME and a private folder for temporary files mean for a program's environment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from services.daemon.sandbox.view import View

_PLACES = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")
"""Each has a default below HOME, or is of a session that is not the program's."""


def inside(environment: Mapping[str, str], view: View, temporary: Path | None = None) -> dict[str, str]:
    """The environment with the view's HOME, and `temporary` for temporary files; None: /tmp is private already."""
    kept = {k: v for k, v in environment.items() if k not in (*_PLACES, "TMPDIR", "TMP", "TEMP", "PWD", "OLDPWD")}
    return {**kept, "HOME": str(view.home), **({"TMPDIR": str(temporary)} if temporary else {})}
