"""Requests to the OpenID provider: nothing that it answers is larger, or takes longer, than it may."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from services.gateway.signin.troubles import ProviderTrouble, Refused

if TYPE_CHECKING:
    import httpx

ANSWER_SECONDS = 10.0
LARGEST_ANSWER = 256 << 10
MAX_AT_ONCE = 8
MAX_WAITING = 64
"""Requests beyond those; whoever comes then is told to try again."""


class Answer(NamedTuple):
    """What was answered."""

    status: int
    body: bytes


class Asking:
    """A client that follows no redirect, keeps no cookie and takes no more than it has to."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None
        self._places = asyncio.Semaphore(MAX_AT_ONCE)
        self._waiting = 0

    async def get(self, url: str, token: str | None = None) -> Answer:
        """The answer to a GET, with an access token where one is given. Raises ProviderTrouble."""
        return await self._ask("GET", url, {"authorization": f"Bearer {token}"} if token else {}, None)

    async def post(self, url: str, form: dict[str, str], auth: tuple[str, str] | None) -> Answer:
        """The answer to a form. Raises ProviderTrouble."""
        return await self._ask("POST", url, {}, form, auth)

    async def _ask(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        form: dict[str, str] | None,
        auth: tuple[str, str] | None = None,
    ) -> Answer:
        if self._waiting >= MAX_WAITING:
            raise Refused("too many people sign in at this moment; try again in a minute", 503)
        self._waiting += 1
        try:
            async with self._places:
                return await self._answered(method, url, headers, form, auth)
        finally:
            self._waiting -= 1

    async def _answered(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        form: dict[str, str] | None,
        auth: tuple[str, str] | None,
    ) -> Answer:
        if self._client is None:
            self._client = await asyncio.to_thread(_client)  # loading certificates would stop everybody else meanwhile
        import httpx

        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                self._client.stream(method, url, headers=headers, data=form, auth=auth) as answer,
            ):
                return Answer(answer.status_code, await _body(answer))
        except TimeoutError:
            raise ProviderTrouble(f"the OpenID provider doesn't answer within {ANSWER_SECONDS:.0f} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ProviderTrouble(f"the OpenID provider doesn't answer ({_why(error)})") from None
        finally:
            self._client.cookies.clear()


async def _body(answer: httpx.Response) -> bytes:
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise ProviderTrouble("the OpenID provider packs its answers, which nobody asked for")
    body = b""
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise ProviderTrouble(f"the OpenID provider answers more than {LARGEST_ANSWER >> 10} KiB")
    return body


def _client() -> httpx.AsyncClient:
    import httpx

    return httpx.AsyncClient(
        follow_redirects=False,
        timeout=ANSWER_SECONDS,
        headers={"accept": "application/json", "accept-encoding": "identity", "user-agent": "makima"},
        limits=httpx.Limits(max_connections=MAX_AT_ONCE, keepalive_expiry=30),
    )


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
