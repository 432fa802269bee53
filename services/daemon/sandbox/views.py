"""What attempts on one daemon may see: what all of them share is looked up once, and each adds its own folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from services.daemon.sandbox import shared_caches, system
from services.daemon.sandbox.view import View
from shared.config import Settings

HOME = "home"
SCRATCH = "tmp"
CACHES = "caches"
_OF_THE_ACCOUNT = ("", ".config", ".local/share", ".ssh")
"""Of HOME: no folder that holds one of these is taken for a toolchain's."""


class Views:
    """The views of one daemon. `environment` is the daemon's own: where its programs are, and whose home is whose."""

    def __init__(self, settings: Settings, environment: Mapping[str, str], folder: Path) -> None:
        """`folder` is the daemon's."""
        home = Path(environment.get("HOME") or "/root")
        self._settings = settings
        self._environment = environment
        self._never = (settings.home, *(home / place for place in _OF_THE_ACCOUNT))
        managers = system.managers(environment, home)
        self._readable = (*system.toolchains(environment, self._never), *managers.values(), *settings.sandbox_readable)
        caches = folder / CACHES
        self._caches = shared_caches.folders(caches, settings.shared_caches)
        self._gateway = (settings.gateway_socket().parent,)
        """A folder that holds the gateway's socket alone, and that no agent may write: else one could listen there."""
        self.variables = {
            **{name: str(place) for name, place in managers.items()},
            **shared_caches.variables(caches, settings.shared_caches),
        }
        """What programs with a HOME of their own need, to find what lies elsewhere."""

    def of(self, name: str, workspace: Path, folder: Path, borrowed: tuple[Path, ...] = ()) -> View:
        """An attempt's. `folder` is of its runs, `borrowed` the objects that its workspace's git reads besides.

        Makes its home, its scratch folder and the shared caches where they aren't there yet.
        """
        settings = self._settings
        for place in (folder / HOME, folder / SCRATCH, *self._caches):
            place.mkdir(parents=True, exist_ok=True)
        shared = (*settings.sandbox_writable, *self._caches)
        return View(
            name=name,
            workspace=workspace,
            home=folder / HOME,
            scratch=folder / SCRATCH,
            readable=(*self._readable, folder, *borrowed, *self._gateway),
            writable=shared,
            hidden=(settings.home, settings.run_folder()),
        )

    def of_program(self, argv: tuple[str, ...]) -> tuple[Path, ...]:
        """What more is read to run a program."""
        return system.of_programs(argv, self._environment, self._never)
