"""The home's door: it is this account's, and lets no other in."""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from pathlib import Path

from shared.config.errors import ConfigError

SETTINGS = "makima.toml"


def make_home(home: Path) -> None:
    """Make it where it isn't, for this account alone, and check it. Raises ConfigError, or OSError if it can't be.

    A folder that holds nothing yet, or only a person's settings, becomes a home here and is closed as a new one is:
    nothing of makima's was ever open in it. One that is in use is refused as it stands.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    home.mkdir(mode=0o700, exist_ok=True)
    if _is_unused(home):
        home.chmod(0o700)
    check_home(home)


def check_home(home: Path) -> None:
    """Refuse a home that another account owns or can enter, with the command that fixes it. Raises ConfigError."""
    try:
        found = home.stat()
    except FileNotFoundError:
        return  # whoever needs it makes it
    if found.st_uid != os.geteuid():
        raise ConfigError(
            f"the home {home} belongs to {_account(found.st_uid)}, and this is {_account(os.geteuid())}; "
            "set MAKIMA_HOME to a folder of your own"
        )
    if found.st_mode & 0o077:
        mode = f"{stat.S_IMODE(found.st_mode):o}"
        raise ConfigError(
            f"the home {home} is open to other accounts (mode {mode}); chmod 700 {shlex.quote(str(home))}"
        )


def _is_unused(home: Path) -> bool:
    """Whether a folder of this account's, which only it can write to, is to become a home."""
    found = home.stat()
    own = found.st_uid == os.geteuid() and not found.st_mode & 0o022
    return own and all(entry.name == SETTINGS for entry in home.iterdir())


def _account(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
