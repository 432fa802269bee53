"""The keys of the bus: whoever connects to the broker shows the key of its role, a file.

An agent runs under the daemon's account, and Landlock lets it connect to any Unix socket; but it can read nothing of
the home or the run folder. Each role has a key of its own, so that whoever holds one speaks in that role alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import zmq

from shared.config import ConfigError, Settings
from shared.config.secret_file import kept, read
from shared.messages.channels import ROLES, Role

Introduced = zmq.Context[zmq.Socket[bytes]] | zmq.Socket[bytes]


def make_keys(settings: Settings) -> Mapping[Role, bytes]:
    """Every role's key, each made when it isn't there. Raises ConfigError, or OSError when they can't be kept."""
    for role in ROLES:
        _path(settings, role).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {role: _shown(kept(_path(settings, role))) for role in ROLES}


def introduce(what: Introduced, settings: Settings, role: Role) -> None:
    """Have a socket, or every socket that a context will make, show this role's key. Raises ConfigError without one."""
    path = _path(settings, role)
    try:
        key = _shown(read(path))
    except FileNotFoundError:
        raise ConfigError(
            f"the {role}'s key for the bus isn't there: {path}; the broker makes it when it starts"
        ) from None
    except OSError as error:
        raise ConfigError(f"the {role}'s key for the bus, {path}, can't be read: {error.strerror}") from None
    what.setsockopt(zmq.PLAIN_USERNAME, role.encode())
    what.setsockopt(zmq.PLAIN_PASSWORD, key)


def _path(settings: Settings, role: Role) -> Path:
    """Where a role's key lies: a daemon's beside the sockets, for its home may be another than the services'."""
    return (settings.run_folder() if role == "daemon" else settings.home) / "keys" / role


def _shown(secret: bytes) -> bytes:
    """A key as it crosses the socket, where it must be text."""
    return secret.hex().encode()
