"""Who commits: whom git's configuration names, else makima."""

from __future__ import annotations

import subprocess
from functools import cache

from services.daemon.git.command import FALLBACK_IDENTITY


@cache
def identity() -> dict[str, str]:
    """Variables that name the author and committer to an agent's git, which can't read the account's configuration.

    Asked once, since it runs git: a name that is given later counts from the daemon's next start.
    """
    name, email = _configured("user.name"), _configured("user.email")
    if not name or not email:
        return dict(FALLBACK_IDENTITY)
    return {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": email,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": email,
    }


def _configured(key: str) -> str:
    asked = ("git", "config", "--get", key)
    return subprocess.run(asked, cwd="/", capture_output=True, text=True, check=False).stdout.strip()
