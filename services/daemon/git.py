"""One git command as a process, and what went wrong in words."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from functools import cache
from pathlib import Path

from services.daemon import programs
from shared.failpoints import hit

FALLBACK_IDENTITY = {
    "GIT_AUTHOR_NAME": "makima",
    "GIT_AUTHOR_EMAIL": "makima@localhost",
    "GIT_COMMITTER_NAME": "makima",
    "GIT_COMMITTER_EMAIL": "makima@localhost",
}
_OURS = (
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "commit.gpgSign=false",
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
    "-c",
    "core.quotePath=false",
)
"""For the daemon's own commands: no hook of the machine or an agent, no passphrase, no collection in the background."""


class GitError(RuntimeError):
    """A git command that did not succeed: which, its exit code, what it said, and its standard output."""

    def __init__(self, arguments: tuple[str, ...], code: int, said: str, out: str = "") -> None:
        self.code = code
        self.said = said
        self.out = out
        super().__init__(f"git {arguments[0]}: {said.strip() or f'exit code {code}'}")


@cache
def fallback_identity() -> tuple[tuple[str, str], ...]:
    """Variables that name makima as the author, when git's configuration names nobody; else none."""
    named = subprocess.run(("git", "config", "--get", "user.email"), cwd="/", capture_output=True, check=False)
    return () if named.stdout.strip() else tuple(FALLBACK_IDENTITY.items())


_TRANSIENT = (
    "could not resolve",
    "timed out",
    "connection refused",
    "connection reset",
    "early eof",
    "hung up",
)


def is_transient(error: GitError) -> bool:
    """Whether a remote could not be reached, which passes."""
    return any(sign in error.said.lower() for sign in _TRANSIENT)


async def git(folder: Path, *arguments: str, **variables: str) -> str:
    """Run git in a folder; its standard output. Never asks for a password; cancelled, it ends git and its helpers.

    `variables` are put into its environment. Raises GitError.
    """
    return (await git_said(folder, *arguments, **variables))[0]


async def git_said(folder: Path, *arguments: str, **variables: str) -> tuple[str, str]:
    """The same, with what it said on standard error: a remote's own words. Raises GitError."""
    hit(f"daemon.git.{arguments[0]}", "before")
    process = await programs.start(
        "git",
        *_OURS,
        *arguments,
        cwd=folder,
        env={**os.environ, **dict(fallback_identity()), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        process.close()
        raise
    if process.returncode:
        said = (err or out).decode(errors="replace")
        raise GitError(arguments, process.returncode, said, out.decode(errors="replace"))
    hit(f"daemon.git.{arguments[0]}", "after")
    return out.decode(errors="replace"), err.decode(errors="replace")
