"""An attempt's private HOME: made fresh, with what its agent needs of the real one, and its task's sessions in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from services.daemon.agents.belongings import Belongings
from services.daemon.disk import folders
from services.daemon.sandbox.view import View


def prepare(view: View, belongings: Belongings, sessions: Path) -> View:
    """Make the HOME of a view anew; the view in which an agent's runs see what belongs to it.

    `sessions` is the task's folder on this daemon. Nothing is ever written to a HOME that an agent has been in: what
    looks like a file there may be a link of its making. Blocking: for a thread.
    """
    for folder in (view.home, view.scratch):
        folders.remove(folder)
        folder.mkdir(parents=True)
    for place, source in belongings.copied.items():
        if source.is_file():
            shutil.copyfile(source, _within(view.home, place))
    readable = _linked(view.home, belongings.readable)
    writable = _linked(view.home, belongings.writable)
    if belongings.kept:
        sessions.mkdir(parents=True, exist_ok=True)
        os.utime(sessions)  # they are pruned when long unused
    for place in belongings.kept:
        kept = sessions / place.replace("/", "-").lstrip(".")
        kept.mkdir(parents=True, exist_ok=True)
        _within(view.home, place).symlink_to(kept)
        writable.append(kept)
    return replace(view, readable=(*view.readable, *readable), writable=(*view.writable, *writable))


def _linked(home: Path, belongings: Mapping[str, Path]) -> list[Path]:
    linked = []
    for place, source in belongings.items():
        if source.exists():
            _within(home, place).symlink_to(source.resolve())
            linked.append(source.resolve())
    return linked


def _within(home: Path, place: str) -> Path:
    path = home / place
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
