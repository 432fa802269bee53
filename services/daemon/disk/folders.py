"""Folders that agents worked in: removing them whatever was left there, and their size. Blocking: for a thread."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path


def remove(folder: Path) -> None:
    """Remove a folder, read-only folders in it included (a module cache has such); what can't be removed stays.

    Of a file or a link that is in its place, that alone.
    """
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return

    def again(call: Callable[[str], object], path: str, _error: object) -> None:
        for blocked in (Path(path).parent, Path(path)):
            try:
                if stat.S_ISDIR(blocked.lstat().st_mode):
                    blocked.chmod(stat.S_IRWXU)
            except OSError:
                continue
        try:
            if call in (os.scandir, os.open):
                shutil.rmtree(path, ignore_errors=True)
            else:
                call(path)
        except OSError:
            return

    shutil.rmtree(folder, onerror=again)


def size(folder: Path) -> int:
    """Bytes that a folder takes up on its disk, links not followed."""
    total, waiting = 0, [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
        except OSError:
            continue  # it went meanwhile, or isn't ours to read
    return total
