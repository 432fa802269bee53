"""How a process of the cluster closes itself to the rest of the machine, and to a disk that is full, at its start."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from typing import TextIO

_PR_SET_DUMPABLE = 4


def close_to_others() -> None:
    """What it makes is for this account alone, and nobody but root looks into its memory or environment.

    Other processes of this account do neither: agents are some. It leaves no core dump, nor does what it starts.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE)")


class Lossy:
    """A stream for logs. What can't be written because the disk is full is lost, and the process goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write it if that can be."""
        try:
            return self._stream.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Write what waits if that can be."""
        try:
            self._stream.flush()
        except OSError:
            return

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def outlive_full_logs() -> None:
    """Let no line for standard error end this process."""
    sys.stderr = Lossy(sys.stderr)
