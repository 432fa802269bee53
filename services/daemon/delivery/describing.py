"""What only a delivery knows of its pull request: how the check ended, which files change, the forge's template."""

from __future__ import annotations

from pathlib import Path

from services.daemon.git.command import GitError, git, readable
from shared.domain.descriptions import Changed, inline

UNCHECKED = "Nothing was checked: the repository names no check."
GONE_WITHOUT = (
    "Nothing was checked: the check fails on the base branch by itself, and it was chosen to go on without it."
)
MOST_TEMPLATE_BYTES = 64 << 10
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
        listed = (await git(cache, "ls-tree", "-r", "-z", "--name-only", base)).split("\0")
        there = {path.lower(): path for path in listed if path.lower() in wanted}
        path = next((there[place] for place in wanted if place in there), None)
        if path is None or int(await git(cache, "cat-file", "-s", f"{base}:{path}")) > MOST_TEMPLATE_BYTES:
            return ""
        return await git(cache, "cat-file", "blob", f"{base}:{path}")
    except GitError:  # a submodule of that name, for one, is no template
        return ""


def _count(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None
