"""Pushing to the remote: never by force, removing only what is known, and what it refused in words."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import get_args

import msgspec

from services.daemon.git.command import GitError, git, git_said, is_transient, readable
from shared.domain.names import StepRefs, step_ref
from shared.failpoints import hit

_REFUSED = re.compile(r"^!\t[^\t]*\t(?P<why>.*)$", re.MULTILINE)
_STALE = (
    "fetch first",
    "non-fast-forward",
    "stale info",
    "failed to update ref",
    "cannot lock ref",
    "incorrect old value",
)
_IN_THE_WAY = "exists; cannot create"
"""A branch whose name ours begins with, as a folder: nothing that passes."""


class PushStale(RuntimeError):
    """Somebody else pushed meanwhile: fetch, merge and push again."""


class PushRefused(RuntimeError):
    """The remote refuses. `permanent`: trying again can't fix it."""

    def __init__(self, reason: str, permanent: bool) -> None:
        self.permanent = permanent
        super().__init__(reason)


async def push(repository: Path, commit: str, branch: str, options: Sequence[str] = ()) -> str:
    """Push a commit to a branch of the remote; what the remote said. Raises PushStale and PushRefused."""
    more = [part for option in options for part in ("-o", option)]
    hit("daemon.delivery", "before_push")
    said = await _push(repository, commit, f"refs/heads/{branch}", more)
    hit("daemon.delivery", "after_push")
    return said


async def push_work(repository: Path, commit: str, ref: str, made_here: Callable[[str], Awaitable[bool]]) -> None:
    """Push an attempt's work to its own branch: a new one, or over commits that the attempt itself has made.

    Raises PushStale and PushRefused.
    """
    try:
        await _push(repository, commit, ref, [f"--force-with-lease={ref}:"])
    except PushStale:
        there = (await git(repository, "ls-remote", "--quiet", "origin", ref)).partition("\t")[0]
        if there == commit:
            return
        if there and not await made_here(there):
            raise PushRefused(
                f"the push of {_branch(ref)} was refused: somebody else pushed {there[:12]} to it", permanent=True
            ) from None
        await _push(repository, commit, ref, [f"--force-with-lease={ref}:{there}"])


async def _push(repository: Path, commit: str, ref: str, options: Sequence[str]) -> str:
    branch = _branch(ref)
    try:
        _, said = await git_said(repository, "push", "--porcelain", *options, "origin", f"{commit}:{ref}")
    except GitError as error:
        why = readable(match["why"]) if (match := _REFUSED.search(error.out)) else ""
        if any(sign in why for sign in _STALE) and _IN_THE_WAY not in error.said:
            raise PushStale(f"{branch} moved on meanwhile: {why}") from None
        words = _words(error.said)
        reason = f"the push of {branch} was refused: " + ": ".join(dict.fromkeys(w for w in (why, words) if w))
        raise PushRefused(reason, permanent=bool(why) or not is_transient(error)) from None
    return said


def _branch(ref: str) -> str:
    return ref.removeprefix("refs/heads/")


class OnRemote(msgspec.Struct, frozen=True, kw_only=True):
    """A branch of the remote, as it stands there now: its full name, and its commit."""

    ref: str
    commit: str


async def on_remote(repository: Path, branches: Iterable[str]) -> dict[str, OnRemote]:
    """Those of the branches that are on the remote now. Raises GitError."""
    wanted = {step_ref(b, where): b for b in branches for where in get_args(StepRefs)}
    out = await git(repository, "ls-remote", "--quiet", "origin", "refs/heads/*", "refs/makima/*")
    listed = (line.split("\t") for line in out.splitlines())
    return {wanted[ref]: OnRemote(ref=ref, commit=commit) for commit, ref in listed if ref in wanted}


async def remove(repository: Path, branches: Iterable[OnRemote]) -> None:
    """Remove branches from the remote by a lease: what somebody moved meanwhile stays. Raises PushRefused."""
    going = tuple(branches)
    leases = [f"--force-with-lease={one.ref}:{one.commit}" for one in going]
    try:
        await git(repository, "push", "--porcelain", *leases, "origin", *(f":{one.ref}" for one in going))
    except GitError as error:
        refused = [match["why"] for match in _REFUSED.finditer(error.out)]
        if refused and all(any(sign in why for sign in _STALE) for why in refused):
            return
        reason = f"branches can't be removed from the remote: {_words(error.said) or error}"
        raise PushRefused(reason, permanent=not is_transient(error)) from None


def _words(said: str) -> str:
    """What the remote itself said, on one line; else git's words."""
    lines = [line.strip() for line in said.splitlines()]
    remote = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
    others = [line for line in lines if line and not line.startswith(("To ", "hint:", "error: failed to push"))]
    return " ".join(word for word in remote if word) or " ".join(others)
