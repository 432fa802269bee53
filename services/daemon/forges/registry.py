"""The client of a forge, by its kind."""

from __future__ import annotations

from pathlib import Path

from services.daemon.forges.client import Client
from services.daemon.forges.github import GitHub
from shared.domain.forge import Forge


def client_of(forge: Forge, folder: Path) -> Client | None:
    """Who speaks to this forge; None when its pull requests can't be asked for."""
    return GitHub(forge, folder) if forge.kind == "github" else None
