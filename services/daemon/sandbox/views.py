"""What attempts on one daemon may see: what all of them share is looked up once, and each adds its own folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from services.daemon.sandbox import system
from services.daemon.sandbox.view import View
from shared.config import Settings

HOME = "home"
SCRATCH = "tmp"


class Views:
    """The views of one daemon. `environment` is the daemon's own: where its programs are, and whose home is whose."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._environment = environment
        self._never = (settings.home, Path(environment.get("HOME") or "/root"))
        self._toolchains = system.toolchains(environment, self._never)

    def of(self, name: str, workspace: Path, folder: Path, borrowed: Path | None = None) -> View:
        """An attempt's. `folder` is of its runs, `borrowed` what its workspace's git reads besides.

        Makes the home and the scratch folder in `folder`, where they aren't there yet.
        """
        settings = self._settings
        for place in (folder / HOME, folder / SCRATCH):
            place.mkdir(parents=True, exist_ok=True)
        linked = (workspace / ".git").is_file()  # a worktree of the copy of its repository, which its git writes to
        return View(
            name=name,
            workspace=workspace,
            home=folder / HOME,
            scratch=folder / SCRATCH,
            readable=(*self._toolchains, *settings.sandbox_readable, folder, *((borrowed,) if borrowed else ())),
            writable=(*settings.sandbox_writable, *((borrowed,) if borrowed and linked else ())),
            hidden=(settings.home, settings.run_folder()),
            network="open",
        )

    def of_program(self, argv: tuple[str, ...]) -> tuple[Path, ...]:
        """What more is read to run a program."""
        return system.of_programs(argv, self._environment, self._never)
