"""GitLab, by its REST interface of version 4, with a token of the daemon's environment (scope `api`)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import quote, urlencode

import msgspec

from services.daemon.forges.client import Answer, ForgeFailed, Found, Number, one_line, read
from services.daemon.forges.http import ask
from shared.domain.delivery import PullRequest, PullRequestState
from shared.domain.forge import Forge
from shared.failpoints import hit

LONGEST_TITLE = 255
TOKEN = "GITLAB_TOKEN"
_STATES: Mapping[str, PullRequestState] = {"opened": "open", "locked": "open", "merged": "merged", "closed": "closed"}
"""`locked`: it is being merged."""


class _Request(msgspec.Struct):
    iid: Number
    web_url: str
    state: Literal["opened", "closed", "merged", "locked"]
    description: str | None = None
    source_branch: str = ""
    source_project_id: int | None = None
    target_project_id: int | None = None
    sha: str | None = None


class _User(msgspec.Struct):
    id: Number


class GitLab:
    """One project."""

    def __init__(self, forge: Forge, token: str) -> None:
        self._forge = forge
        self._token = token
        self._api = f"{forge.scheme}://{forge.host}/api/v4"
        self._requests = f"{self._api}/projects/{quote(forge.path, safe='')}/merge_requests"

    @staticmethod
    def token() -> str | None:
        """The daemon's token; without one a merge request can only be made by pushing, and not be asked for."""
        return os.environ.get(TOKEN) or None

    async def find(self, branch: str) -> Sequence[Found]:
        """The merge requests of a branch, newest first. Raises ForgeFailed."""
        asked = {"source_branch": branch, "state": "all", "order_by": "created_at", "sort": "desc", "per_page": 20}
        answer = await self._ask("GET", f"{self._requests}?{urlencode(asked)}")
        found = (_found(r) for r in read(self._forge.host, answer, list[_Request]))
        return [f for f in found if f.own]

    async def create(self, branch: str, base: str, wanted: PullRequest, body: str) -> Found:
        """Make one; a draft by its title, as there is no other. Raises ForgeFailed."""
        text = {
            "source_branch": branch,
            "target_branch": base,
            "title": one_line(("Draft: " if wanted.draft else "") + wanted.title, LONGEST_TITLE),
            "description": body,
        }
        hit("daemon.pull_request.gitlab", "before_create")
        answer = await self._ask("POST", self._requests, text)
        hit("daemon.pull_request.gitlab", "after_create")
        return _found(read(self._forge.host, answer, _Request))

    async def adorn(self, made: Found, wanted: PullRequest) -> None:
        """Give it its labels and reviewers. Raises ForgeFailed."""
        if wanted.labels:
            await self._ask("PUT", f"{self._requests}/{made.number}", {"add_labels": ",".join(wanted.labels)})
        if wanted.reviewers:
            ids = [await self._user(name) for name in wanted.reviewers]
            await self._ask("PUT", f"{self._requests}/{made.number}", {"reviewer_ids": ids})

    async def update(self, found: Found, body: str) -> None:
        """Replace its description. Raises ForgeFailed."""
        await self._ask("PUT", f"{self._requests}/{found.number}", {"description": body})

    async def look(self, number: int, etag: str | None) -> Found | None:
        """How one stands; None: as it did when this etag was given. Raises ForgeFailed."""
        answer = await self._ask("GET", f"{self._requests}/{number}", etag=etag)
        if answer.status == 304:
            return None
        found = _found(read(self._forge.host, answer, _Request))
        return msgspec.structs.replace(found, etag=answer.headers.get("etag"))

    async def _user(self, name: str) -> int:
        answer = await self._ask("GET", f"{self._api}/users?{urlencode({'username': name})}")
        users = read(self._forge.host, answer, list[_User])
        if not users:
            raise ForgeFailed(f"{self._forge.host} knows no user {name!r}")
        return users[0].id

    async def _ask(
        self, method: str, url: str, text: Mapping[str, object] | None = None, etag: str | None = None
    ) -> Answer:
        fix = f"give the daemon a token of the scope `api` in {TOKEN}"
        bearer = f"Bearer {self._token}"
        return await ask(self._forge, method, url, authorization=bearer, fix=fix, text=text, etag=etag)


def _found(request: _Request) -> Found:
    return Found(
        number=request.iid,
        url=request.web_url,
        state=_STATES[request.state],
        body=request.description or "",
        branch=request.source_branch,
        own=request.source_project_id == request.target_project_id,
        head=request.sha,
    )
