"""What one program may see and touch, in terms that every kind of sandbox understands. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shared.domain.hosts import Network


@dataclass(frozen=True, kw_only=True)
class View:
    """What is not named here is not there, or can't be touched. All paths are the same inside as outside.

    Where a folder that may be read holds one that is hidden, the hidden one is not seen; where a hidden one holds
    one that is named besides, that is seen.
    """

    name: str
    """Of the attempt on its daemon: for what has to be found again by name."""
    workspace: Path
    """Writable, and where the program starts."""
    home: Path
    """Its HOME: writable, of the attempt, gone with it."""
    scratch: Path
    """Its /tmp, where a sandbox can put one there, and else its TMPDIR: of the attempt, gone with it."""
    readable: tuple[Path, ...] = ()
    """Files and folders beyond the system's own."""
    writable: tuple[Path, ...] = ()
    """Files and folders beyond the workspace, the home and the scratch folder."""
    hidden: tuple[Path, ...] = ()
    """The cluster's own home, for one."""
    sockets: tuple[Path, ...] = ()
    """Unix sockets that it may connect to, whatever the network: the gateway's, a proxy's."""
    network: Network = "open"
    """"hosts" and "none": no network but what `sockets` and `ports` lead to."""
    ports: tuple[int, ...] = ()
    """TCP ports of this machine that it may connect to where the network isn't open, by sandboxes without one of
    their own (Landlock)."""
