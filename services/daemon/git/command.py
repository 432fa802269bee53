"""One git command as a process, and what went wrong in words."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

import msgspec

from services.daemon.git.account import Account, configuration
from services.daemon.processes import programs
from shared.failpoints import hit

_SETTINGS = {
    # nothing of this machine's or an agent's runs beside, asks for a passphrase, or goes along
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.askPass": "",
    "core.useReplaceRefs": "false",
    "commit.gpgSign": "false",
    "push.gpgSign": "false",
    "push.followTags": "false",
    "push.recurseSubmodules": "no",
    "fetch.recurseSubmodules": "no",
    "submodule.recurse": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "safe.bareRepository": "all",
    # what is committed and merged is the same whichever machine does it
    "core.autocrlf": "false",
    "core.eol": "native",
    "core.safecrlf": "false",
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
"""For the daemon's own commands."""
_ELSEWHERE = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_ASKPASS",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INDEX_VERSION",
    "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
    "SSH_ASKPASS",
)
"""Variables that point git at another repository, as where a hook or an alias of git started the daemon; or at a
program that asks a person."""
_CONFIGURING = ("GIT_CONFIG_", "GIT_LFS_")
_PIPE = asyncio.subprocess.PIPE
_NETWORK = frozenset({"fetch", "push", "ls-remote", "lfs"})


class NetworkLimits(msgspec.Struct):
    """How long the daemon's git waits for a remote, in seconds."""

    silent: float = 30.0
    """For a remote that says nothing."""
    whole: float = 1800.0
    """For one command, however much it transfers."""


network_limits = NetworkLimits()
"""Of this process; set once, from its settings."""
reaching: ContextVar[Mapping[str, str]] = ContextVar("reaching", default={})  # noqa: B039 - nobody changes it
"""Settings with which the git of this attempt reaches its repository."""


class GitError(RuntimeError):
    """A git command that did not succeed: which, its exit code, what it said, and its standard output."""

    def __init__(self, arguments: tuple[str, ...], code: int, said: str, out: str = "") -> None:
        self.code = code
        self.said = said
        self.out = out
        super().__init__(f"git {_verb(arguments)}: {said.strip() or f'exit code {code}'}")


_TRANSIENT = (
    "could not resolve",
    "timed out",
    "connection refused",
    "connection reset",
    "early eof",
    "hung up",
    "operation too slow",
    "did not answer",
    "i/o timeout",
    "no such host",
    ": eof",
    "unexpected eof",
    "broken pipe",
    "server error",
    "rate limit",
    "context deadline exceeded",
    "connection timeout",
)


def is_transient(error: GitError) -> bool:
    """Whether a remote could not be reached, which passes."""
    return any(sign in error.said.lower() for sign in _TRANSIENT)


async def git(folder: Path, *arguments: str, **variables: str) -> str:
    """Run git in a folder; its standard output. Never asks a person; cancelled, it ends git and its helpers.

    `variables` are put into its environment. Raises GitError.
    """
    out, _ = await _run(folder, arguments, variables)
    return out.decode(errors="replace")


async def git_fed(
    folder: Path,
    stdin: bytes | BinaryIO,
    *arguments: str,
    stdout: BinaryIO | None = None,
    variables: Mapping[str, str] | None = None,
) -> str:
    """The same with something on its standard input; what it prints goes to `stdout`, where that is named."""
    out, _ = await _run(folder, arguments, variables or {}, stdin, stdout)
    return out.decode(errors="replace")


async def git_bytes(folder: Path, stdin: bytes, *arguments: str, variables: Mapping[str, str] | None = None) -> bytes:
    """The same, as it is printed. Raises GitError."""
    out, _ = await _run(folder, arguments, variables or {}, stdin)
    return out


def on_files(repository: Path, folder: Path, index: Path) -> dict[str, str]:
    """Variables that point git at a folder's files, by a repository and an index that the daemon alone writes."""
    return {"GIT_DIR": str(repository), "GIT_WORK_TREE": str(folder), "GIT_INDEX_FILE": str(index)}


async def has(repository: Path, commit: str) -> bool:
    """Whether a repository has a commit."""
    try:
        await git(repository, "cat-file", "-e", f"{commit}^{{commit}}")
    except GitError:
        return False
    return True


async def names(folder: Path, *arguments: str, **variables: str) -> list[str]:
    """The parts of what git prints with -z. A name that is no UTF-8 is kept exactly, as `git` takes it again.

    Before it is shown or sent it must be made `readable`. Raises GitError.
    """
    out, _ = await _run(folder, arguments, variables)
    return [part for part in out.decode(errors="surrogateescape").split("\0") if part]


def listed(paths: Mapping[str, object] | list[str] | tuple[str, ...]) -> bytes:
    """Names as git takes them on its standard input with -z."""
    return b"".join(path.encode(errors="surrogateescape") + b"\0" for path in paths)


def readable(text: str) -> str:
    """A text with a sign in the place of what is no UTF-8."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


async def git_said(folder: Path, *arguments: str, **variables: str) -> tuple[str, str]:
    """The same, with what it said on standard error: a remote's own words. Raises GitError."""
    out, err = await _run(folder, arguments, variables)
    return out.decode(errors="replace"), err.decode(errors="replace")


async def _run(
    folder: Path,
    arguments: tuple[str, ...],
    variables: Mapping[str, str],
    stdin: bytes | BinaryIO | None = None,
    stdout: BinaryIO | None = None,
) -> tuple[bytes, bytes]:
    verb = _verb(arguments)
    hit(f"daemon.git.{verb}", "before")
    process = await programs.start(
        "git",
        *(argument.encode(errors="surrogateescape") for argument in arguments),  # whatever the locale
        cwd=folder,
        env={**environment(), **variables},
        stdin=_PIPE if isinstance(stdin, bytes) else stdin.fileno() if stdin else asyncio.subprocess.DEVNULL,
        stdout=stdout.fileno() if stdout else _PIPE,
        stderr=_PIPE,
    )
    seconds = network_limits.whole if verb in _NETWORK else None
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate(stdin if isinstance(stdin, bytes) else None)
    except (asyncio.CancelledError, TimeoutError) as error:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        process.close()
        if isinstance(error, TimeoutError):
            raise GitError(arguments, -signal.SIGKILL, f"the remote did not answer within {seconds:g} s") from None
        raise
    if process.returncode:
        out = out or b""
        said = (err or out).decode(errors="replace")
        raise GitError(arguments, process.returncode, said, out.decode(errors="surrogateescape"))
    hit(f"daemon.git.{verb}", "after")
    return out or b"", err


def _verb(arguments: tuple[str, ...]) -> str:
    """The subcommand, after git's own options."""
    rest = iter(arguments)
    for argument in rest:
        if argument != "-c":
            return argument
        next(rest)
    return ""


def environment() -> dict[str, str]:
    """What the daemon's git sees: of the account what counts, of a repository's and an agent's configuration nothing.

    https://git-scm.com/docs/git-config#ENVIRONMENT
    """
    known = configuration.read()
    kept = {k: v for k, v in os.environ.items() if k not in _ELSEWHERE and not k.startswith(_CONFIGURING)}
    silent = {"http.lowSpeedLimit": "1", "http.lowSpeedTime": f"{network_limits.silent:.0f}"}
    return {
        **kept,
        **identity(known),
        **_configured({**silent, **_SETTINGS, **reaching.get()}),
        "GIT_CONFIG_GLOBAL": str(configuration.file),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": _ssh(known, kept),
        "LC_ALL": "C",
    }


def _configured(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings as variables, which win over every file."""
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables


def identity(known: Account) -> dict[str, str]:
    """Variables that name makima as the author, where the account names nobody; else none."""
    if known.names_somebody:
        return {}
    who = known.identity
    return {
        f"GIT_{role}_{part}": getattr(who, part.lower())
        for role in ("AUTHOR", "COMMITTER")
        for part in ("NAME", "EMAIL")
    }


def _ssh(known: Account, kept: Mapping[str, str]) -> str:
    """How ssh is called: as the account says, but never to ask a person, nor to wait for ever."""
    command = kept.get("GIT_SSH_COMMAND") or known.last("core.sshcommand") or shlex.quote(kept.get("GIT_SSH", "ssh"))
    words = shlex.split(command) or ["ssh"]
    if Path(words[0]).name != "ssh":
        return command
    seconds = max(1, round(network_limits.silent))
    asks = f"-o BatchMode=yes -o ConnectTimeout={seconds}"
    return f"{command} {asks} -o ServerAliveInterval={max(1, seconds // 3)} -o ServerAliveCountMax=3"
