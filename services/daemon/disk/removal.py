"""Folders that nobody needs any more: out of the way at once, and gone a little later."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from uuid import uuid4

from services.daemon.disk import folders


class Removals:
    """Removes beside the work, by way of a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._going: set[asyncio.Task[None]] = set()

    def __call__(self, *paths: Path) -> None:
        """Move these out of the way, and remove them while others work."""
        gone = self._folder / uuid4().hex
        gone.mkdir(parents=True)
        for number, path in enumerate(paths):
            with contextlib.suppress(FileNotFoundError):
                path.rename(gone / f"{number}")
        self._begin(gone)

    def go_on(self) -> None:
        """Remove what an earlier life had begun to."""
        if self._folder.exists():
            for left in self._folder.iterdir():
                self._begin(left)

    async def done(self) -> None:
        """Wait until all of it is gone."""
        await asyncio.gather(*self._going)

    def _begin(self, gone: Path) -> None:
        going = asyncio.create_task(asyncio.to_thread(folders.remove, gone))
        self._going.add(going)
        going.add_done_callback(self._going.discard)
