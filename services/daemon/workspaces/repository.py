"""A repository's own settings: `.makima.toml` at the root of its base branch (rule 17)."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from services.daemon.git.command import GitError, git
from services.daemon.workspaces.caches import ref_of
from services.daemon.workspaces.untracked import can_be
from shared.domain.hosts import Network
from shared.domain.texts import one_line

FILE = ".makima.toml"
MAX_BYTES = 64 << 10
LONGEST_ERROR = 300


class RepositoryUnreadable(ValueError):
    """`.makima.toml` can't be: where, and what is allowed."""


class RepositorySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a repository says of itself. None of it widens what an agent may touch."""

    setup: str | None = None
    """Run once in a fresh worktree."""
    check: str | None = None
    """Run after an agent ended well, and on what is to be delivered."""
    copy_files: tuple[str, ...] = ()
    """Untracked files that are taken along from the dependency's worktree."""
    instructions: str = ""
    """Added to every plan and step prompt."""
    agent: str | None = None
    network: Network | None = None
    """As tight as the daemon's, or tighter."""
    image: str | None = None
    """Of the containers that its programs run in, one that the daemon's settings name."""


def parse(text: str) -> RepositorySettings:
    """The settings in a file's text. Raises RepositoryUnreadable."""
    if len(text) > MAX_BYTES:
        raise _unreadable(f"it is longer than {MAX_BYTES >> 10} KiB")
    try:
        settings = msgspec.convert(tomllib.loads(text), RepositorySettings)
    except (ValueError, RecursionError) as error:
        raise _unreadable(one_line(str(error))[:LONGEST_ERROR]) from None
    if bad := [pattern for pattern in settings.copy_files if not can_be(pattern)]:
        named = one_line(repr(bad[0]))[:LONGEST_ERROR]
        raise _unreadable(f"copy_files can't name {named}: only files within the repository, `**` as a whole folder")
    if any("\0" in text for text in (settings.setup or "", settings.check or "", settings.agent or "")):
        raise _unreadable("it holds a NUL byte")
    return settings


def _unreadable(why: str) -> RepositoryUnreadable:
    known = ", ".join(RepositorySettings.__struct_fields__)
    return RepositoryUnreadable(f"{FILE} of the base branch: {why}; it may name: {known}")


async def read(repository: Path, commit: str) -> RepositorySettings:
    """The settings as of a commit; all defaults when it has no such file. Raises RepositoryUnreadable."""
    try:
        size = await git(repository, "cat-file", "-s", f"{commit}:{FILE}")
        if int(size) > MAX_BYTES:
            raise _unreadable(f"it is longer than {MAX_BYTES >> 10} KiB")
        text = await git(repository, "cat-file", "blob", f"{commit}:{FILE}")
    except GitError:
        return RepositorySettings()
    return parse(text)


async def of(cache: Path | None, base_branch: str | None, known: dict[str, RepositorySettings]) -> RepositorySettings:
    """The settings as the base branch has them, whatever an agent made of them since; `known` ones by commit.

    Raises RepositoryUnreadable.
    """
    if cache is None:
        return RepositorySettings()
    base = ref_of(base_branch)
    try:
        commit = (cache / base).read_text().strip()
    except OSError:
        commit = ""  # packed away, or not there: git knows
    if commit not in known:
        found = await read(cache, commit or base)
        if not commit:
            return found
        known[commit] = found
    return known[commit]
