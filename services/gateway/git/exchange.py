"""A request of git's as it comes, and its answer as it goes: part by part, and no part is kept."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import NoReturn

from litestar.types import Receive, Send

from shared.domain.texts import one_line

PART_BYTES = 64 << 10
_GZIP = 16 + zlib.MAX_WBITS


class Refused(Exception):
    """Why a request isn't answered: one line, and a status."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        self.status = status
        super().__init__(why)


class Gone(Exception):
    """Whoever asked has gone."""


class Body:
    """What a request brings. Raises Gone when it isn't all there, and Refused for what it is packed in."""

    def __init__(self, receive: Receive, encoding: bytes) -> None:
        self._receive = receive
        self._encoding = encoding
        self._over = False

    async def parts(self) -> AsyncIterator[bytes]:
        """All of it, once."""
        while not self._over:
            message = await self._receive()
            if message["type"] != "http.request":
                raise Gone
            self._over = not message.get("more_body", False)
            if body := message.get("body", b""):
                yield body

    async def unpacked(self, most: int) -> AsyncIterator[bytes]:
        """The same, unpacked where it came packed, as git does with what it wants and has; at most so many bytes."""
        if self._encoding not in (b"", b"gzip", b"x-gzip"):
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "git packs what it asks with gzip or not at all")
        total = 0
        async for part in _gunzipped(self.parts()) if self._encoding else self.parts():
            total += len(part)
            if total > most:
                raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a fetch asks with more than {most >> 20} MiB")
            yield part

    async def gone(self) -> NoReturn:
        """Wait until whoever asked has gone. Raises Gone."""
        while (await self._receive())["type"] == "http.request":
            pass
        raise Gone


class Answer:
    """What is answered. What fails once it has begun ends the connection: no git takes the part for the whole."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False
        self._kind, self._first = "", b""

    def holds(self, kind: str, first: bytes = b"") -> None:
        """Of which kind it will be, and what comes before the first part."""
        self._kind, self._first = kind, first

    async def part(self, data: bytes) -> None:
        """A part of it, with which it begins."""
        if not self._begun:
            await self._begin(HTTPStatus.OK, f"application/x-{self._kind}")
            data = self._first + data
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """That was all."""
        await self.part(b"")
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, status: HTTPStatus, why: str) -> None:
        """Answer with a line instead, as long as nothing was answered."""
        if not self._begun:
            await self._begin(status, "text/plain; charset=utf-8")
            await self.part(f"{one_line(why)}\n".encode())
            await self.end()

    async def _begin(self, status: HTTPStatus, content: str) -> None:
        self._begun = True
        headers = [(b"content-type", content.encode()), (b"cache-control", b"no-cache")]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


async def _gunzipped(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    unpacking = zlib.decompressobj(_GZIP)
    try:
        async for part in parts:
            while part:
                yield unpacking.decompress(part, PART_BYTES)
                part = unpacking.unconsumed_tail
        if not unpacking.eof:
            raise Refused(HTTPStatus.BAD_REQUEST, "what git asks ends before its end")
    except zlib.error as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"what git asks can't be unpacked: {error}") from None
