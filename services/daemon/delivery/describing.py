"""What only a delivery knows of its pull request: how the check ended, which files change, the forge's template."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

import msgspec

from services.daemon.git.command import GitError, git, readable
from shared.domain.descriptions import Changed, inline

UNCHECKED = "Nothing was checked: the repository names no check."
GONE_WITHOUT = (
    "Nothing was checked: the check fails on the base branch by itself, and it was chosen to go on without it."
)
MAX_TEMPLATE_BYTES = 64 << 10
_NAMES = ("pull_request_template.md", "pull_request_template.txt", "pull_request_template")
_GITHUB = tuple(f"{folder}{name}" for folder in (".github/", "", "docs/") for name in _NAMES)
_GITEA = tuple(f"{folder}{name}" for folder in (".gitea/", ".forgejo/") for name in _NAMES)
_PLACES = {
    "github": _GITHUB,
    "gitea": (*_GITEA, *_GITHUB),
    "gitlab": (".gitlab/merge_request_templates/default.md",),
}
"""Where each kind of forge looks, the first that is there; capitals don't matter to it."""


def passed(check: str) -> str:
    """What is said of a check that passed."""
    return f"\u2714 {inline(check)} passes on the merged result."


async def files_of(cache: Path, base: str, head: str) -> list[Changed]:
    """What a delivery changes of the base branch, with the lines that came and went. Raises GitError."""
    printed = await git(cache, "diff", "--numstat", "--no-renames", "-z", f"{base}...{head}")
    found = [entry.split("\t", 2) for entry in printed.split("\0") if entry.count("\t") >= 2]
    return [Changed(readable(path), _count(added), _count(removed)) for added, removed, path in found]


async def template_of(cache: Path, base: str, forge: str) -> str:
    """The pull request template that the repository has for its forge on the base branch; empty without one."""
    wanted = _PLACES.get(forge, ())
    try:
        there = await _at(cache, base, wanted)
        found = next((there[place] for place in wanted if place in there), None)
        if found is None or found.bytes > MAX_TEMPLATE_BYTES:
            return ""
        return await git(cache, "cat-file", "blob", found.id)
    except GitError:
        return ""


class _File(msgspec.Struct, frozen=True):
    id: str
    bytes: int


async def _at(cache: Path, commit: str, places: Collection[str]) -> dict[str, _File]:
    """The files of a commit at these places, whatever their capitals. Lists only the folders that lead there."""
    ways = {str(folder) for place in places for folder in PurePosixPath(place).parents}
    found: dict[str, _File] = {}
    folders: list[str] = []
    for _ in range(max((place.count("/") + 1 for place in places), default=0)):
        listed = (await git(cache, "ls-tree", "-z", "-l", commit, *folders)).split("\0")
        folders = []
        for mode, kind, name, size, path in (re.split(r"[ \t]+", entry, maxsplit=4) for entry in listed if entry):
            if kind == "tree" and path.lower() in ways:
                folders.append(f"{path}/")
            elif mode.startswith("100") and path.lower() in places:
                found.setdefault(path.lower(), _File(name, int(size)))
        if not folders:
            break
    return found


def _count(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None
