"""A disk of a few megabytes for one process: a tmpfs in a mount namespace of its own, reached through /proc."""

from __future__ import annotations

import os
from pathlib import Path

_MOUNT = 'mkdir -p "$1" && mount -t tmpfs -o size="$0" tmpfs "$1" && shift && exec "$@"'


def on_small_disk(folder: Path, mebibytes: int) -> list[str]:
    """What to put before a command so that this folder is a disk of that size for it, and for what it starts."""
    own_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", *own_root, "sh", "-c", _MOUNT, f"{mebibytes}m", str(folder)]


class SmallDisk:
    """The disk, from outside."""

    def __init__(self, process: int, folder: Path) -> None:
        self._ballast = Path(f"/proc/{process}/root") / folder.relative_to("/") / "ballast"

    def fill(self) -> None:
        """Leave no byte free."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while file.write(b"x" * size):
                        pass
                except OSError:
                    continue

    def free(self) -> None:
        """Make room again."""
        self._ballast.unlink()
