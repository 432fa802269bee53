"""One git command as a process, and what went wrong in words."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from functools import cache
from pathlib import Path

from services.daemon.processes import programs
from shared.failpoints import hit

FALLBACK_IDENTITY = {
    "GIT_AUTHOR_NAME": "makima",
    "GIT_AUTHOR_EMAIL": "makima@localhost",
    "GIT_COMMITTER_NAME": "makima",
    "GIT_COMMITTER_EMAIL": "makima@localhost",
}
_SETTINGS = {
    # nothing of this machine's or an agent's runs beside, asks for a passphrase, or goes along
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "commit.gpgSign": "false",
    "push.gpgSign": "false",
    "push.followTags": "false",
    "push.recurseSubmodules": "no",
    "submodule.recurse": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "safe.bareRepository": "all",
    # what is committed and merged is the same whichever machine does it
    "core.autocrlf": "false",
    "core.eol": "native",
    "core.safecrlf": "false",
    "core.excludesFile": "/dev/null",
    "core.attributesFile": "/dev/null",
    "diff.ignoreSubmodules": "none",
    "i18n.commitEncoding": "UTF-8",
    "merge.autoStash": "false",
    "merge.conflictStyle": "merge",
    "merge.directoryRenames": "conflict",
    "merge.ff": "true",
    "merge.log": "false",
    "merge.renames": "true",
    "merge.renormalize": "false",
    "merge.verifySignatures": "false",
    # what is read of it is as expected
    "color.grep": "never",
    "core.quotePath": "false",
    "diff.relative": "false",
    "grep.column": "false",
    "grep.lineNumber": "false",
    "grep.patternType": "basic",
    "i18n.logOutputEncoding": "UTF-8",
    "log.showSignature": "false",
    "status.relativePaths": "false",
    "status.showUntrackedFiles": "normal",
}
"""For the daemon's own commands, over its account's configuration. How a remote is reached stays as that has it."""
_OURS = tuple(part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}"))
_ELSEWHERE = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
"""Variables that point git at another repository: a daemon that a hook or an alias of git started has them."""


class GitError(RuntimeError):
    """A git command that did not succeed: which, its exit code, what it said, and its standard output."""

    def __init__(self, arguments: tuple[str, ...], code: int, said: str, out: str = "") -> None:
        self.code = code
        self.said = said
        self.out = out
        super().__init__(f"git {arguments[0]}: {said.strip() or f'exit code {code}'}")


@cache
def fallback_identity() -> tuple[tuple[str, str], ...]:
    """Variables that name makima as the author, when git's configuration names nobody, or only half; else none."""
    asked = ("git", "config", "--name-only", "--get-regexp", r"^user\.(name|email)$")
    named = subprocess.run(asked, cwd="/", env=_own(), capture_output=True, check=False)
    return () if len(set(named.stdout.split())) == 2 else tuple(FALLBACK_IDENTITY.items())


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


async def names(folder: Path, *arguments: str) -> list[str]:
    """The parts of what git prints with -z. A name that is no UTF-8 is kept exactly, as `git` takes it again.

    Before it is shown or sent it must be made `readable`. Raises GitError.
    """
    out, _ = await _run(folder, arguments, {})
    return [part for part in out.decode(errors="surrogateescape").split("\0") if part]


def readable(text: str) -> str:
    """A text with a sign in the place of what is no UTF-8."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


async def git_said(folder: Path, *arguments: str, **variables: str) -> tuple[str, str]:
    """The same, with what it said on standard error: a remote's own words. Raises GitError."""
    out, err = await _run(folder, arguments, variables)
    return out.decode(errors="replace"), err.decode(errors="replace")


async def _run(folder: Path, arguments: tuple[str, ...], variables: dict[str, str]) -> tuple[bytes, bytes]:
    hit(f"daemon.git.{arguments[0]}", "before")
    process = await programs.start(
        "git",
        *_OURS,
        *(argument.encode(errors="surrogateescape") for argument in arguments),  # whatever the locale
        cwd=folder,
        env={**_environment(), **variables},
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
        raise GitError(arguments, process.returncode, said, out.decode(errors="surrogateescape"))
    hit(f"daemon.git.{arguments[0]}", "after")
    return out, err


def _own() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}


def _environment() -> dict[str, str]:
    return {**_own(), **dict(fallback_identity()), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
