"""Repositories that a daemon can't reach, whatever it tries."""

from __future__ import annotations

from services.daemon.workspaces.workspace import WorkspaceFailed


class RepositoryElsewhere(WorkspaceFailed):
    """A repository that isn't on this machine, where a person has to give its address."""
