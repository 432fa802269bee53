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


def disk_reserve(home: Path) -> Path:
    """The file that keeps room on the disk of the embedded Postgres, for what people ask once that is full."""
    return home / "postgres" / "kept-room"


def disk_full(home: Path) -> str | None:
    """What to say when the disk of this home's Postgres is full, in words with the fix; None when it isn't.

    It is from when the kept room gave way until there is enough of it to be kept again.
    """
    data = disk_reserve(home).parent
    if not (data / "initialised").exists() or disk_reserve(home).exists():
        return None
    return f"no space left on device where Postgres keeps its data ({data}): free some"
