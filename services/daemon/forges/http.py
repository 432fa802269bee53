"""A forge's HTTP interface: one request, and its refusals in words. Errors read the same whichever forge it is."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import msgspec

from services.daemon.forges.client import (
    MAX_BYTES,
    MAX_SECONDS,
    AlreadyThere,
    Answer,
    ForgeFailed,
    NothingToPropose,
    one_line,
    unexpected,
    wait_seconds,
)
from shared.domain.forge import Forge
from shared.messages.unreadable import UNREADABLE

TIMEOUT_SECONDS = 30.0


class _Refusal(msgspec.Struct):
    message: object = ""
    error: object = ""


async def ask(
    forge: Forge,
    method: str,
    url: str,
    *,
    authorization: str | None,
    fix: str,
    text: Mapping[str, object] | None = None,
    etag: str | None = None,
) -> Answer:
    """The answer: 2xx, or 304 to an etag. A redirect isn't followed: it could lead the token anywhere.

    `fix`: what a person does about an account that is refused. Raises ForgeFailed.
    """
    headers = {"Authorization": authorization} if authorization else {}
    if etag:
        headers["If-None-Match"] = etag
    try:
        async with (
            asyncio.timeout(MAX_SECONDS),
            httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client,
            client.stream(method, url, headers=headers, json=text) as coming,
        ):
            answer = await _whole(forge.host, coming)
    except TimeoutError:
        raise ForgeFailed(f"{forge.host} did not answer to the end within {MAX_SECONDS:g} s", passing=True) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = one_line(str(error), 200) or type(error).__name__
        raise ForgeFailed(f"{forge.host} can't be asked: {why}", passing=True) from None
    if answer.status >= 400:
        raise refusal(forge.host, answer, fix)
    if answer.status >= 300 and answer.status != 304:
        where = one_line(answer.headers.get("location", "elsewhere"), 200)
        raise unexpected(forge.host, f"a redirect to {where}, which is not followed", answer.status)
    return answer


async def _whole(host: str, coming: httpx.Response) -> Answer:
    """An answer with its body, as far as that has a reasonable length. Raises ForgeFailed."""
    body = bytearray()
    async for part in coming.aiter_bytes(65_536):
        body += part
        if len(body) > MAX_BYTES:
            raise unexpected(host, f"more than {MAX_BYTES >> 20} MiB", coming.status_code)
    return Answer(status=coming.status_code, headers=dict(coming.headers), body=bytes(body))


def refusal(host: str, answer: Answer, fix: str) -> ForgeFailed:
    """An answer of 400 and above in words: what a person does about it, or when it is worth asking again."""
    status, said = answer.status, _said(answer)
    if status in (401, 403):
        return ForgeFailed(f"{host} refuses the daemon's account ({status}): {said}; {fix}")
    if status == 429 or status >= 500:
        what = "limits the rate" if status == 429 else "is out of order"
        wait = wait_seconds(answer.headers, time.time())
        return ForgeFailed(f"{host} {what} ({status}): {said}", passing=True, wait_seconds=wait)
    if status == 404:
        return ForgeFailed(f"{host} does not know it, or not for the daemon's account (404): {said}; {fix}")
    if "no changes between" in said.lower() or "no commits" in said.lower():
        return NothingToPropose(f"{host}: {said}")
    if "already exists" in said.lower():
        return AlreadyThere(f"{host}: {said}")
    return ForgeFailed(f"{host} refuses it ({status}): {said}")


def _said(answer: Answer) -> str:
    try:
        read = msgspec.json.decode(answer.body, type=_Refusal)
        said = read.message or read.error
        words = said if isinstance(said, str) else msgspec.json.encode(said).decode()
    except UNREADABLE:
        return "no words"
    return one_line(words, 500) or "no words"


async def token_of(forge: Forge, folder: Path, names: tuple[str, ...]) -> str | None:
    """A token of the daemon's environment, else of git's credentials for the host."""
    for name in names:
        if token := os.environ.get(name):
            return token
    process = await asyncio.create_subprocess_exec(
        "git",
        "credential",
        "fill",
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true"},
    )
    asked = f"protocol={forge.scheme}\nhost={forge.host}\n\n"
    out, _ = await process.communicate(asked.encode())
    found = dict(line.split("=", 1) for line in out.decode(errors="replace").splitlines() if "=" in line)
    return found.get("password") or None
