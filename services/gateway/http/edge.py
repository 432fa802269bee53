"""What every request meets first: whose word counts on it, a name by which it is called, and HEAD where GET does."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.http.proxies import Proxies

log = structlog.get_logger()

HEADER = b"x-request-id"
_PLAIN = re.compile(rb"[A-Za-z0-9._-]{1,64}")
GIT = "/v1/git/"
"""Below it lie repositories, whose requests are as long as they are."""
CHANGES = frozenset({"POST", "PATCH", "DELETE", "PUT"})


class Edge:
    """The application, and the repositories beside it, as the server sees them."""

    def __init__(self, app: ASGIApp, git: ASGIApp, proxies: Proxies) -> None:
        self._app = app
        self._git = git
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        asked = self._proxies.believed(scope)
        request, method = _name(asked), str(asked["method"])
        structlog.contextvars.bind_contextvars(request=request.decode())
        if method == "HEAD":
            asked = {**asked, "method": HttpMethod.GET}
        app = self._git if asked["path"].startswith(GIT) else self._app
        await app(asked, receive, _Answering(method, asked["path"], request, send).send)


class _Answering:
    """The answer to one request, on its way out."""

    def __init__(self, method: str, path: str, request: bytes, send: Send) -> None:
        self._method = method
        self._path = path
        self._request = request
        self._send = send
        self._began = time.perf_counter()
        self._over = False

    async def send(self, message: Message) -> None:
        """Send a part of it. The body of a HEAD is empty, and over at its first part: the rest is let go."""
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (HEADER, self._request)]
            self._tell(message["status"])
        elif message["type"] == "http.response.body" and self._method == "HEAD":
            if self._over:
                return
            self._over = True
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    def _tell(self, status: int) -> None:
        """A line for what may have changed something, and, at the level `debug`, for what was only looked at."""
        tell = log.info if self._method in CHANGES else log.debug
        milliseconds = round((time.perf_counter() - self._began) * 1000, 1)
        tell("request answered", method=self._method, path=self._path, status=status, milliseconds=milliseconds)


def _name(scope: Scope) -> bytes:
    """What whoever asks calls the request, if that can be shown, else a name of its own."""
    given = next((value for name, value in scope["headers"] if name == HEADER), b"")
    return given if _PLAIN.fullmatch(given) else uuid.uuid4().hex[:16].encode()
