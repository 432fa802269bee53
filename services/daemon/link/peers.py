"""Who is at the other end of a connection within this machine: a port of its own is open to every account."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

_TABLE = Path("/proc/self/net/tcp")
"""proc_pid_net(5): of each socket its own address, the other end's, and in the eighth place whose it is."""


def is_ours(connection: socket.socket) -> bool:
    """Whether our account opened a connection of IPv4 to us; where that isn't found out, it counts as another's."""
    try:
        there, here = (_written(*name) for name in (connection.getpeername(), connection.getsockname()))
        with _TABLE.open() as table:
            entries = (line.split() for line in table)
            return any(entry[1] == there and entry[2] == here and entry[7] == str(os.getuid()) for entry in entries)
    except OSError:
        return False


def _written(host: str, port: int) -> str:
    """An address as the table has it."""
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"
