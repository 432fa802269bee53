"""Where things of a cluster lie. Imports next to nothing: the command line asks it before each of its requests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def home_of(environment: Mapping[str, str]) -> Path:
    """The home that an environment names, else the account's usual one."""
    if named := environment.get("MAKIMA_HOME"):
        return Path(named).expanduser().absolute()
    state = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME", "~")) / ".local" / "state"
    return (Path(state) / "makima").expanduser().absolute()


def cluster_file(home: Path) -> Path:
    """Where a cluster's supervisor says what it runs, as long as it does."""
    return home / "run" / "cluster.json"


def gateway_socket(run: Path) -> Path:
    """Where the gateway listens for this account's programs.

    Alone in its folder, so that a sandbox may be shown the folder: the socket of a gateway that was started again
    is then seen there, too.
    """
    return run / "gateway" / "gateway.sock"
