"""GitHub and GitHub Enterprise, by `gh api`: its REST interface with gh's own accounts. Texts go by standard input."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from services.daemon.forges.client import (
    MAX_BYTES,
    MAX_SECONDS,
    AlreadyThere,
    Answer,
    ForgeFailed,
    Found,
    NothingToPropose,
    Number,
    one_line,
    read,
    unexpected,
    wait_seconds,
)
from shared.domain.delivery import PullRequest
from shared.domain.forge import Forge
from shared.failpoints import hit

MISSING = "`gh` is not installed on this daemon: install it (https://cli.github.com) and sign in with `gh auth login`"
LONGEST_TITLE = 256
_DOWN = ("error connecting", "connection refused", "dial tcp", "dial unix", "timeout", "eof", "no such host", "reset")


class _Repository(msgspec.Struct):
    full_name: str = ""


class _Head(msgspec.Struct):
    ref: str = ""
    sha: str | None = None
    repo: _Repository | None = None
    """None: a copy of the repository that is gone."""


class _Pull(msgspec.Struct):
    number: Number
    html_url: str
    state: Literal["open", "closed"]
    merged_at: str | None = None
    body: str | None = None
    head: _Head = msgspec.field(default_factory=_Head)


class _Error(msgspec.Struct):
    message: str = ""


class _Refusal(msgspec.Struct):
    message: str = ""
    errors: list[_Error | str] = []


class GitHub:
    """One repository, asked by `gh`."""

    def __init__(self, forge: Forge, folder: Path) -> None:
        self._forge = forge
        self._folder = folder
        self._repository = f"repos/{forge.path}"

    async def find(self, branch: str) -> Sequence[Found]:
        """The pull requests of a branch, newest first. Raises ForgeFailed."""
        owner = self._forge.path.partition("/")[0]
        query = f"head={owner}:{branch}&state=all&sort=created&direction=desc&per_page=20"
        answer = await self._ask("GET", f"{self._repository}/pulls?{query}")
        found = (self._found(p) for p in read(self._forge.host, answer, list[_Pull]))
        return [f for f in found if f.own]

    async def create(self, branch: str, base: str, wanted: PullRequest, body: str) -> Found:
        """Make one. Raises ForgeFailed and NothingToPropose."""
        text = {
            "title": one_line(wanted.title, LONGEST_TITLE),
            "head": branch,
            "base": base,
            "body": body,
            "draft": wanted.draft,
        }
        hit("daemon.pull_request", "before_create")
        answer = await self._ask("POST", f"{self._repository}/pulls", text)
        hit("daemon.pull_request", "after_create")
        return self._found(read(self._forge.host, answer, _Pull))

    async def adorn(self, made: Found, wanted: PullRequest) -> None:
        """Give it its labels, and ask its reviewers. Raises ForgeFailed."""
        if wanted.labels:
            await self._ask("POST", f"{self._repository}/issues/{made.number}/labels", {"labels": wanted.labels})
        if wanted.reviewers:
            path = f"{self._repository}/pulls/{made.number}/requested_reviewers"
            await self._ask("POST", path, {"reviewers": wanted.reviewers})

    async def update(self, found: Found, body: str) -> None:
        """Replace its body. Raises ForgeFailed."""
        await self._ask("PATCH", f"{self._repository}/pulls/{found.number}", {"body": body})

    async def look(self, number: int, etag: str | None) -> Found | None:
        """How one stands; None: as it did when this etag was given. Raises ForgeFailed."""
        more = ("-H", f"If-None-Match: {etag}") if etag else ()
        answer = await self._ask("GET", f"{self._repository}/pulls/{number}", None, *more)
        if answer.status == 304:
            return None
        found = self._found(read(self._forge.host, answer, _Pull))
        return msgspec.structs.replace(found, etag=answer.headers.get("etag"))

    def _found(self, pull: _Pull) -> Found:
        state: Literal["open", "merged", "closed"] = "merged" if pull.merged_at else pull.state
        return Found(
            number=pull.number,
            url=pull.html_url,
            state=state,
            body=pull.body or "",
            branch=pull.head.ref,
            own=pull.head.repo is not None and pull.head.repo.full_name.lower() == self._forge.path.lower(),
            head=pull.head.sha,
        )

    async def _ask(self, method: str, path: str, text: Mapping[str, object] | None = None, *more: str) -> Answer:
        if shutil.which("gh") is None:
            raise ForgeFailed(MISSING)
        argv = ["gh", "api", "--include", "--method", method, "--hostname", self._forge.host, *more]
        argv += [path] if text is None else ["--input", "-", path]
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=self._folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"},
        )
        told = msgspec.json.encode(text) if text is not None else b""
        try:
            async with asyncio.timeout(MAX_SECONDS):
                _, out, err = await asyncio.gather(
                    _tell(process, told), _printed(process.stdout), _printed(process.stderr)
                )
                await process.wait()
        except TimeoutError:
            why = f"{self._forge.host} did not answer to the end within {MAX_SECONDS:g} s"
            raise ForgeFailed(why, passing=True) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if len(out) > MAX_BYTES:
            raise unexpected(self._forge.host, f"more than {MAX_BYTES >> 20} MiB")
        answer = read_response(out)
        if answer is None:
            said = err.decode(errors="replace").strip()
            passing = any(sign in said.lower() for sign in _DOWN)
            raise ForgeFailed(f"{self._forge.host} can't be asked: {one_line(said, 500) or 'gh said nothing'}", passing)
        if answer.status >= 400:
            raise refusal(self._forge.host, answer, time.time())
        return answer


async def _tell(process: asyncio.subprocess.Process, text: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):  # it ended without reading: what it says tells why
        process.stdin.write(text)
        await process.stdin.drain()
    process.stdin.close()


async def _printed(pipe: asyncio.StreamReader | None) -> bytes:
    """What it prints; of a flood no more than shows that it is one."""
    assert pipe is not None
    printed = bytearray()
    while part := await pipe.read(65_536):
        if len(printed) <= MAX_BYTES:
            printed += part
    return bytes(printed)


def read_response(out: bytes) -> Answer | None:
    """What `gh api --include` prints; None when there is no answer in it."""
    head, _, body = out.replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = head.decode(errors="replace").split("\n")
    parts = first.split()
    if len(parts) < 2 or not parts[0].startswith("HTTP/") or not re.fullmatch("[1-5][0-9]{2}", parts[1]):
        return None
    pairs = (line.partition(":") for line in lines)
    return Answer(status=int(parts[1]), headers={k.strip().lower(): v.strip() for k, _, v in pairs}, body=body)


def refusal(host: str, answer: Answer, now: float) -> ForgeFailed:
    """An answer of 400 and above in words: what a person does about it, or when it is worth asking again."""
    try:
        refused = read(host, answer, _Refusal)
    except ForgeFailed:
        refused = _Refusal()
    details = [e if isinstance(e, str) else e.message for e in refused.errors]
    said = one_line(": ".join(part for part in (refused.message, *details) if part), 500) or "no words"
    if answer.status == 401:
        return ForgeFailed(f"{host} refuses the daemon's account (401): {said}; sign in with `gh auth login -h {host}`")
    if answer.status == 429 or (answer.status == 403 and _limited(answer, said)):
        return ForgeFailed(
            f"{host} limits the rate: {said}", passing=True, wait_seconds=wait_seconds(answer.headers, now)
        )
    if answer.status == 403:
        return ForgeFailed(f"{host} forbids it (403): {said}; the daemon's account needs the right to write here")
    if answer.status == 404:
        return ForgeFailed(f"{host} does not know the repository, or not for the daemon's account (404): {said}")
    if answer.status == 422 and "no commits between" in said.lower():
        return NothingToPropose(f"{host}: {said}")
    if answer.status == 422 and "already exists" in said.lower():
        return AlreadyThere(f"{host}: {said}")
    if answer.status >= 500:
        return ForgeFailed(f"{host} is out of order ({answer.status}): {said}", passing=True)
    return ForgeFailed(f"{host} refuses it ({answer.status}): {said}")


def _limited(answer: Answer, said: str) -> bool:
    exhausted = answer.headers.get("x-ratelimit-remaining") == "0"
    return exhausted or "retry-after" in answer.headers or "rate limit" in said.lower()
