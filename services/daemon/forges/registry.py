"""The client of a forge, by its kind."""

from __future__ import annotations

from pathlib import Path

from services.daemon.forges.client import Client
from services.daemon.forges.gitea import Gitea
from services.daemon.forges.github import GitHub
from services.daemon.forges.gitlab import GitLab
from shared.domain.forge import Forge


def client_of(forge: Forge, folder: Path) -> Client | None:
    """Who speaks to this forge; None for GitLab without a token: it is told by push options and can't be asked."""
    match forge.kind:
        case "github":
            return GitHub(forge, folder)
        case "gitea":
            return Gitea(forge, folder)
        case "gitlab":
            token = GitLab.token()
            return GitLab(forge, token) if token else None
