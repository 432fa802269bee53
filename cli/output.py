"""Standard output: what a terminal can't show is said in plainer letters, and what can't be written ends quietly."""

from __future__ import annotations

import codecs
import errno
import os
import shutil
import sys
import textwrap

PLAINER = dict(zip("✔✘→●○◔↷⊘·│─├└┌▸", "+x>*oo>--|-|`,>", strict=True)) | {"…": "..."}
"""Marks in letters that every terminal has."""
SIGNALLED = 128
"""The exit code of a program that a signal ended, less the signal's number."""
SIGINT, SIGPIPE = 2, 13
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EBADF)


def make_safe() -> None:
    """Let no letter of a text be an error on standard output or error, whatever the terminal's alphabet."""
    codecs.register_error("plainer", _plainer)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="plainer")


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    said = "".join(PLAINER.get(character, "?") for character in error.object[error.start : error.end])
    return said, error.end


def refuse(words: str) -> None:
    """Say on standard error what is wrong: a line, which a terminal shows broken between words."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        words = "\n".join(textwrap.wrap(words, width, break_long_words=False, break_on_hyphens=False))
    print(words, file=sys.stderr)


def finish() -> None:
    """Write what waits to be written. Raises OSError."""
    sys.stdout.flush()


def refused(error: OSError) -> int:
    """The exit code when standard output takes no more; what waits for it is dropped. Raises any other error."""
    if not isinstance(error, BrokenPipeError) and (error.errno not in _FULL or error.filename is not None):
        raise error
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return SIGNALLED + SIGPIPE
    print(f"makima: standard output can't be written: {error.strerror}", file=sys.stderr)
    return 1
