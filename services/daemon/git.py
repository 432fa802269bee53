"""One git command as a process, and what went wrong in words."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

IDENTITY = {
    "GIT_AUTHOR_NAME": "makima",
    "GIT_AUTHOR_EMAIL": "makima@localhost",
    "GIT_COMMITTER_NAME": "makima",
    "GIT_COMMITTER_EMAIL": "makima@localhost",
}


class GitFailed(RuntimeError):
    """A git command that did not succeed: which, and what it said."""

    def __init__(self, arguments: tuple[str, ...], code: int, said: str) -> None:
        self.code = code
        self.said = said
        super().__init__(f"git {arguments[0]}: {said.strip() or f'exit code {code}'}")


async def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder; its standard output. Raises GitFailed. Never asks for a password."""
    process = await asyncio.create_subprocess_exec(
        "git",
        *arguments,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **IDENTITY, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
    )
    out, err = await process.communicate()
    if process.returncode:
        said = (err or out).decode(errors="replace")
        raise GitFailed(arguments, process.returncode, said)
    return out.decode(errors="replace")
