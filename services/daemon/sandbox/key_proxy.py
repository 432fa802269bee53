"""A program of its own: stands before a model's API with the key that an attempt's agent is never given.

    python -m services.daemon.sandbox.key_proxy   < {"socket": …, "upstream": …, "header": …, "value": …}

It is told what to do by the first line of its standard input, so that the key is in no command line and no file, says
`ready` on its standard output, and ends when its standard input does. The agent speaks plain HTTP to it; it speaks TLS
to the model, wherever its address says so, and adds the header to every request.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

import httpx
import msgspec
import uvicorn

if TYPE_CHECKING:  # for its types alone: what it takes to import would be taken a task
    from litestar.types import HTTPScope, Receive, Send

READY = b"ready\n"
_CONNECT_SECONDS = 30.0
_OF_ONE_CONNECTION = frozenset(
    (b"connection", b"host", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)
"""RFC 9110, 7.6.1; Host is the model's."""
_CREDENTIALS = frozenset((b"authorization", b"x-api-key", b"api-key", b"proxy-authorization", b"cookie"))
"""Whatever the agent sends as its key is a stand-in for the real one."""

Headers = list[tuple[bytes, bytes]]


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """Where it listens, the address that requests go on to, and the header that it adds."""

    socket: str
    upstream: str
    header: Literal["x-api-key", "authorization"]
    value: str


class KeyProxy:
    """An ASGI application (https://asgi.readthedocs.io) that passes requests on, with the key, and answers back."""

    def __init__(self, duty: Duty) -> None:
        self._base = httpx.URL(duty.upstream)
        self._key = (duty.header.encode(), duty.value.encode())
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
            headers={"accept-encoding": "identity"},  # of an agent that names none
        )

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """One request."""
        path, query = scope["raw_path"], scope["query_string"]
        if ".." in unquote(path.decode("latin-1")).replace("\\", "/").split("/"):
            await _refuse(send, 400, "a path that leaves the model's address")
            return
        headers = list(scope["headers"])
        sends_body = not {b"content-length", b"transfer-encoding"}.isdisjoint(name for name, _ in headers)
        target = self._base.raw_path.rstrip(b"/") + path + (b"?" + query if query else b"")
        request = self._client.build_request(
            scope["method"],
            self._base.copy_with(raw_path=target),
            headers=[*_passed_on(headers), self._key],
            content=_body(receive) if sends_body else None,
        )
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            await _refuse(send, 502, f"the model at {self._base.host} can't be reached: {error!r}")
            return
        try:
            kept = _passed_on((name.lower(), value) for name, value in answer.headers.raw)
            await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await answer.aclose()


def _passed_on(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    return [(n, v) for n, v in headers if n not in _OF_ONE_CONNECTION and n not in _CREDENTIALS]


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise httpx.RequestError("the agent broke its request off")
        yield message["body"]
        if not message["more_body"]:
            return


async def _refuse(send: Send, status: int, why: str) -> None:
    body = msgspec.json.encode({"error": {"type": "makima", "message": f"makima: {why}"}})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def serve(duty: Duty) -> None:
    """Serve until standard input ends."""
    server = uvicorn.Server(
        uvicorn.Config(KeyProxy(duty), lifespan="off", ws="none", log_config=None, server_header=False)
    )

    async def until_told() -> None:
        while await asyncio.to_thread(os.read, 0, 1 << 10):
            pass
        server.force_exit = server.should_exit = True

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(duty.socket)
        listener.listen()
        os.write(1, READY)
        await asyncio.gather(server.serve([listener]), until_told())
    Path(duty.socket).unlink(missing_ok=True)


def main() -> int:
    """Read what to do, and do it; the exit code."""
    os.umask(0o077)
    line = b""
    while not line.endswith(b"\n"):  # byte by byte: what comes after the line is not for this buffer
        if not (byte := os.read(0, 1)):
            return 0
        line += byte
    asyncio.run(serve(msgspec.json.decode(line, type=Duty)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
