"""Gitea and Forgejo, by their HTTP interface, with a token of the daemon's environment or of git's credentials."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import httpx
import msgspec

from services.daemon.forges.client import ForgeFailed, Found, NothingToPropose, one_line, wait_seconds
from shared.domain.delivery import PullRequest
from shared.domain.forge import Forge
from shared.failpoints import hit

LONGEST_TITLE = 255
TIMEOUT_SECONDS = 30.0
TOKENS = ("GITEA_TOKEN", "FORGEJO_TOKEN")


class _Pull(msgspec.Struct):
    number: int
    html_url: str
    state: Literal["open", "closed"]
    merged: bool = False
    body: str | None = None
    head: dict[str, object] = {}


class _Refusal(msgspec.Struct):
    message: str = ""


class Gitea:
    """One repository."""

    def __init__(self, forge: Forge, folder: Path) -> None:
        self._forge = forge
        self._folder = folder
        self._base = f"{forge.scheme}://{forge.host}/api/v1/repos/{forge.path}"

    async def find(self, branch: str) -> Sequence[Found]:
        """The pull requests of a branch, newest first. Raises ForgeFailed."""
        answer = await self._ask("GET", "/pulls?state=all&sort=recentupdate&limit=50")
        pulls = msgspec.json.decode(answer.content, type=list[_Pull])
        return [_found(p) for p in sorted(pulls, key=lambda p: -p.number) if p.head.get("ref") == branch]

    async def create(self, branch: str, base: str, wanted: PullRequest, body: str) -> Found:
        """Make one; a draft by its title, as there is no other. Raises ForgeFailed and NothingToPropose."""
        title = ("WIP: " if wanted.draft else "") + wanted.title
        text = {"title": one_line(title, LONGEST_TITLE), "head": branch, "base": base, "body": body}
        hit("daemon.pull_request.http", "before_create")
        answer = await self._ask("POST", "/pulls", text)
        hit("daemon.pull_request.http", "after_create")
        made = _found(msgspec.json.decode(answer.content, type=_Pull))
        if wanted.reviewers:
            await self._ask("POST", f"/pulls/{made.number}/requested_reviewers", {"reviewers": wanted.reviewers})
        return made

    async def update(self, found: Found, body: str) -> None:
        """Replace its body. Raises ForgeFailed."""
        await self._ask("PATCH", f"/pulls/{found.number}", {"body": body})

    async def look(self, number: int, etag: str | None) -> Found | None:  # noqa: ARG002 - it gives none
        """How one stands. Raises ForgeFailed."""
        return _found(msgspec.json.decode((await self._ask("GET", f"/pulls/{number}")).content, type=_Pull))

    async def _ask(self, method: str, path: str, text: Mapping[str, object] | None = None) -> httpx.Response:
        token = await self._token()
        headers = {"Authorization": f"token {token}"} if token else {}
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client:
                answer = await client.request(method, self._base + path, headers=headers, json=text)
        except httpx.HTTPError as error:
            raise ForgeFailed(f"{self._forge.host} can't be asked: {error}", passing=True) from None
        if answer.status_code >= 400:
            raise self._refusal(answer)
        return answer

    def _refusal(self, answer: httpx.Response) -> ForgeFailed:
        host, status = self._forge.host, answer.status_code
        try:
            said = one_line(msgspec.json.decode(answer.content, type=_Refusal).message, 500) or "no words"
        except msgspec.MsgspecError:
            said = "no words"
        if status in (401, 403):
            mend = f"give the daemon a token in {TOKENS[0]}, or in git's credentials for {host}"
            return ForgeFailed(f"{host} refuses the daemon's account ({status}): {said}; {mend}")
        if status == 429 or status >= 500:
            wait = wait_seconds(dict(answer.headers), time.time())
            return ForgeFailed(f"{host} is out of order ({status}): {said}", passing=True, wait_seconds=wait)
        if "no changes between" in said.lower() or "no commits" in said.lower():
            return NothingToPropose(f"{host}: {said}")
        return ForgeFailed(f"{host} refuses it ({status}): {said}")

    async def _token(self) -> str | None:
        for name in TOKENS:
            if token := os.environ.get(name):
                return token
        process = await asyncio.create_subprocess_exec(
            "git",
            "credential",
            "fill",
            cwd=self._folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true"},
        )
        asked = f"protocol={self._forge.scheme}\nhost={self._forge.host}\n\n"
        out, _ = await process.communicate(asked.encode())
        found = dict(line.split("=", 1) for line in out.decode(errors="replace").splitlines() if "=" in line)
        return found.get("password") or None


def _found(pull: _Pull) -> Found:
    state: Literal["open", "merged", "closed"] = "merged" if pull.merged else pull.state
    return Found(number=pull.number, url=pull.html_url, state=state, body=pull.body or "")
