"""What daemons' folders give up: what attempts left behind, and copies of repositories, unused for long or too many.

Never what a live attempt or a delivery uses, nor what a daemon that is down has yet to report of.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from services.daemon.disk import folders
from services.daemon.disk.locks import Held, alone, in_use, take_away, used_at
from services.daemon.git.command import GitError, git
from services.daemon.reports.journal import AttemptKey, Recorded
from services.daemon.workspaces.workspace import INDEXES, borrowed_from
from shared.config import Settings

GONE = ".gone"
"""Ends the name of a copy that is being removed."""
PACKED_FROM_LOOSE = 6700
PACKED_FROM_PACKS = 50
"""A copy with more loose objects or packs is packed anew; git's own limits."""

Live = Callable[[], Container[str]]
"""The names of the folders of attempts that are in hand."""
What = Literal["worktree", "output", "carried files", "sessions", "resolutions", "repository"]
_PLACES: tuple[tuple[str, What], ...] = (
    ("worktrees", "worktree"),
    ("runs", "output"),
    ("carried", "carried files"),
    ("sessions", "sessions"),
    ("resolutions", "resolutions"),
)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A folder that may be given up. `name` says whose it is: an attempt's, or a repository's address."""

    what: What
    path: Path
    name: str
    bytes: int
    unused_seconds: float


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """When a folder is given up."""

    leftover_seconds: float
    repository_seconds: float
    repositories_bytes: float

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Those of the settings."""
        return cls(
            leftover_seconds=settings.keep_leftovers_hours * 3600,
            repository_seconds=settings.keep_repositories_days * 86_400,
            repositories_bytes=settings.max_repositories_gib * 2**30,
        )


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """A folder that was, or would be, given up, and why."""

    what: What
    path: Path
    name: str
    bytes: int
    why: str


def chosen(found: Sequence[Found], limits: Limits, kept_bytes: int = 0) -> list[Pruned]:
    """What of this is given up: by age, then the longest unused copies while all take up too much. Pure.

    `kept_bytes` is what copies take up that are in use.
    """
    given_up = []
    budget = limits.repositories_bytes - kept_bytes
    for one in sorted(found, key=lambda f: f.unused_seconds):
        lasts = limits.leftover_seconds if one.what in ("worktree", "output") else limits.repository_seconds
        if one.unused_seconds > lasts:
            given_up.append(_pruned(one, f"unused for {_age(one.unused_seconds)}"))
        elif one.what == "repository":
            budget -= one.bytes
            if budget < 0:
                given_up.append(_pruned(one, f"copies take up more than {limits.repositories_bytes / 2**30:g} GiB"))
    return given_up


def prune_home(settings: Settings, act: Callable[[Sequence[Pruned]], list[Pruned]]) -> list[Pruned]:
    """Prune the folders of all daemons of a home, running or not. `act`: `carry_out`, or `list` for a dry run."""
    pruned = []
    for folder in sorted((settings.home / "daemons").glob("*/")):
        with contextlib.ExitStack() as held:
            live = None  # it runs, and sees by itself to what its attempts leave
            with contextlib.suppress(Held):
                held.enter_context(alone(folder))
                waiting = names(Recorded(folder / "journal").in_hand)
                live = lambda waiting=waiting: waiting  # noqa: E731
            pruned += act(survey(folder, Limits.of(settings), live))
    return pruned


async def prune_own(folder: Path, settings: Settings, live: Live) -> list[Pruned]:
    """Prune the folder of this process, whose attempts `live` names, and pack what has become scattered."""
    plan = await asyncio.to_thread(survey, folder, Limits.of(settings), live)
    pruned = await asyncio.to_thread(carry_out, plan)
    for cache in (folder / "repositories").glob("*.git"):
        if not in_use(cache):
            await _pack(cache)
    return pruned


def names(attempts: Iterable[AttemptKey]) -> frozenset[str]:
    """How the folders of attempts are named; a delivery's further worktrees go on with a dash."""
    return frozenset(f"{task.hex}-{number}" for task, number in attempts)


def survey(folder: Path, limits: Limits, live: Live | None) -> list[Pruned]:
    """What is to be given up. `live` names the attempts whose folders are in use; None: leave all attempts' alone."""
    now = time.time()
    leftovers = chosen(list(_leftovers(folder, now, live)) if live is not None else [], limits)
    going = {one.path.name for one in leftovers if one.what == "worktree"}
    staying = (worktree.name for worktree in _in(folder / "worktrees") if worktree.name not in going)
    borrowed = {cache for name in staying for cache in borrowed_from(folder / INDEXES / name)}
    repositories, kept_bytes = [], 0
    for cache in _in(folder / "repositories"):
        if cache.suffix != ".git":
            continue
        if in_use(cache) or cache.name in borrowed:
            kept_bytes += folders.size(cache)
        else:
            size, unused = folders.size(cache), now - used_at(cache)
            name = _address(cache)
            repositories.append(Found(what="repository", path=cache, name=name, bytes=size, unused_seconds=unused))
    return [*leftovers, *chosen(repositories, limits, kept_bytes)]


def _leftovers(folder: Path, now: float, live: Live) -> Iterator[Found]:
    listed = [(what, path) for place, what in _PLACES for path in _in(folder / place)]
    used = live()  # asked for after listing: what began since is not listed
    for what, path in listed:
        if path.name in used or path.name.rpartition("-")[0] in used:
            continue
        with contextlib.suppress(OSError):  # it went meanwhile
            yield Found(
                what=what,
                path=path,
                name=path.name,
                bytes=folders.size(path),
                unused_seconds=now - path.stat().st_mtime,
            )


def carry_out(plan: Sequence[Pruned]) -> list[Pruned]:
    """Give up what was chosen, unless somebody has begun to use it; what was given up."""
    done = []
    for one in plan:
        gone = one.path.with_suffix(GONE) if one.what == "repository" else one.path
        if one.what == "repository" and not take_away(one.path, gone):
            continue
        folders.remove(gone)
        if one.what == "worktree":
            folders.remove(one.path.parent.parent / INDEXES / one.path.name)
        done.append(one)
    return done


async def _pack(cache: Path) -> None:
    with contextlib.suppress(GitError):
        counted = dict(line.split(": ", 1) for line in (await git(cache, "count-objects", "-v")).splitlines())
        if int(counted["count"]) > PACKED_FROM_LOOSE or int(counted["packs"]) > PACKED_FROM_PACKS:
            await git(cache, "gc", "--quiet")


def _address(cache: Path) -> str:
    """The address of the repository that this is a copy of, without a password in it."""
    with contextlib.suppress(OSError):
        for line in (cache / "config").read_text(errors="replace").splitlines():
            name, _, value = line.strip().partition(" = ")
            if name == "url":
                scheme, slashes, rest = value.partition("://")
                return scheme + slashes + rest.rpartition("@")[2] if slashes else value
    return cache.name


def _in(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _pruned(one: Found, why: str) -> Pruned:
    return Pruned(what=one.what, path=one.path, name=one.name, bytes=one.bytes, why=why)


def _age(seconds: float) -> str:
    return f"{seconds / 86_400:.0f} days" if seconds >= 2 * 86_400 else f"{seconds / 3600:.0f} hours"
