"""How a person looks at what was delivered where no pull request shows it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from cli import here
from cli.text import clean
from shared.domain.statuses import Standing

if TYPE_CHECKING:
    from shared.api.directives import DirectiveShown


def looking(shown: DirectiveShown) -> str | None:
    """The command that shows it; None where nothing is left to look at, or nothing is said of where it is."""
    url, branch = shown.repository_url, shown.pr_branch
    if shown.standing is not Standing.DELIVERED or shown.pr_url or shown.merge_into_base or not url or not branch:
        return None
    url, branch, base = clean(url), shlex.quote(clean(branch)), shlex.quote(clean(shown.base_branch or "HEAD"))
    if here.exists(url):
        there = "" if _is_here(url) else f" -C {shlex.quote(url)}"
        return f"git{there} diff {base}...{branch}"
    if url.startswith("/"):
        return None  # on another machine
    return f"git fetch {shlex.quote(url)} {branch} && git diff HEAD...FETCH_HEAD"


def _is_here(url: str) -> bool:
    """Whether git, started in this folder, works on that repository."""
    try:
        top = Path(url).resolve()
        return (top / ".git").is_dir() and (top == (cwd := Path.cwd()) or top in cwd.parents)
    except OSError:
        return False
