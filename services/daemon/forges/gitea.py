"""Gitea and Forgejo, by their HTTP interface, with a token of the daemon's environment or of git's credentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from services.daemon.forges.client import Answer, Found, Number, one_line, read
from services.daemon.forges.http import ask, token_of
from shared.domain.delivery import PullRequest
from shared.domain.forge import Forge
from shared.failpoints import hit

LONGEST_TITLE = 255
TOKENS = ("GITEA_TOKEN", "FORGEJO_TOKEN")
PAGE = 50
MAX_PAGES = 20
"""So many pages of pull requests are looked through for a branch's; they can't be asked for by branch."""
LABEL_COLOR = "#ededed"


class _Head(msgspec.Struct):
    ref: str = ""
    sha: str | None = None
    repo_id: int | None = None


class _Pull(msgspec.Struct):
    number: Number
    html_url: str
    state: Literal["open", "closed"]
    merged: bool = False
    body: str | None = None
    head: _Head = msgspec.field(default_factory=_Head)
    base: _Head = msgspec.field(default_factory=_Head)


class _Label(msgspec.Struct):
    id: Number
    name: str


class Gitea:
    """One repository."""

    def __init__(self, forge: Forge, folder: Path) -> None:
        self._forge = forge
        self._folder = folder
        self._base = f"{forge.scheme}://{forge.host}/api/v1/repos/{forge.path}"

    async def find(self, branch: str) -> Sequence[Found]:
        """The pull requests of a branch, newest first. Raises ForgeFailed."""
        for page in range(1, MAX_PAGES + 1):
            answer = await self._ask("GET", f"/pulls?state=all&sort=recentupdate&limit={PAGE}&page={page}")
            pulls = read(self._forge.host, answer, list[_Pull])
            found = [f for p in sorted(pulls, key=lambda p: -p.number) if (f := _found(p)).branch == branch and f.own]
            if found or len(pulls) < PAGE:
                return found
        return []

    async def create(self, branch: str, base: str, wanted: PullRequest, body: str) -> Found:
        """Make one; a draft by its title, as there is no other. Raises ForgeFailed and NothingToPropose."""
        title = ("WIP: " if wanted.draft else "") + wanted.title
        text = {"title": one_line(title, LONGEST_TITLE), "head": branch, "base": base, "body": body}
        hit("daemon.pull_request.http", "before_create")
        answer = await self._ask("POST", "/pulls", text)
        hit("daemon.pull_request.http", "after_create")
        return _found(read(self._forge.host, answer, _Pull))

    async def adorn(self, made: Found, wanted: PullRequest) -> None:
        """Give it its labels, made where there are none of the name, and reviewers. Raises ForgeFailed."""
        if wanted.labels:
            known = await self._labels()
            for name in wanted.labels:
                if name not in known:
                    answer = await self._ask("POST", "/labels", {"name": name, "color": LABEL_COLOR})
                    known[name] = read(self._forge.host, answer, _Label).id
            await self._ask("POST", f"/issues/{made.number}/labels", {"labels": [known[n] for n in wanted.labels]})
        if wanted.reviewers:
            await self._ask("POST", f"/pulls/{made.number}/requested_reviewers", {"reviewers": wanted.reviewers})

    async def update(self, found: Found, body: str) -> None:
        """Replace its body. Raises ForgeFailed."""
        await self._ask("PATCH", f"/pulls/{found.number}", {"body": body})

    async def look(self, number: int, etag: str | None) -> Found | None:  # noqa: ARG002 - it gives none
        """How one stands. Raises ForgeFailed."""
        return _found(read(self._forge.host, await self._ask("GET", f"/pulls/{number}"), _Pull))

    async def _labels(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for page in range(1, MAX_PAGES + 1):
            answer = await self._ask("GET", f"/labels?limit={PAGE}&page={page}")
            labels = read(self._forge.host, answer, list[_Label])
            found |= {label.name: label.id for label in labels}
            if len(labels) < PAGE:
                break
        return found

    async def _ask(self, method: str, path: str, text: Mapping[str, object] | None = None) -> Answer:
        token = await token_of(self._forge, self._folder, TOKENS)
        fix = f"give the daemon a token in {TOKENS[0]}, or in git's credentials for {self._forge.host}"
        authorization = f"token {token}" if token else None
        return await ask(self._forge, method, self._base + path, authorization=authorization, fix=fix, text=text)


def _found(pull: _Pull) -> Found:
    state: Literal["open", "merged", "closed"] = "merged" if pull.merged else pull.state
    return Found(
        number=pull.number,
        url=pull.html_url,
        state=state,
        body=pull.body or "",
        branch=pull.head.ref,
        own=pull.head.repo_id == pull.base.repo_id,
        head=pull.head.sha if state == "open" else None,  # once it is over, the branch may have moved on under it
    )
