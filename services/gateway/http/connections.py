"""HTTP connections hold a place while they use it: slow, idle and stuck peers are cut off, and all are capped.

Whoever waits for nothing gives way first: a peer that only connects can't keep out one that asks.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.gateway.http.edge import GIT
from services.gateway.http.proxies import Proxies

STUCK_SECONDS = 10.0
"""A peer that has taken nothing for so long, while bytes wait for it, is cut off."""
GIT_STUCK_SECONDS = 60.0
"""The same for git, which may be behind a slow link and works on what it takes."""
HEADER_SECONDS = 10.0
"""From a connection, or a request's first byte, to the end of its headers."""
BODY_SECONDS = 60.0
"""From there to the end of its body."""
MAX_BESIDE_BYTES = 256 << 10
"""Of a request, besides its body: its line, its headers, how its chunks are told apart, and what comes after those."""
MAX_BY_TCP = 512
MAX_OF_ONE_HOST = 384
"""A host has many people, or many tabs; one alone leaves room for others."""
MAX_BY_LINK = 256
"""Requests of agents on other machines' daemons, which come over the unix socket, too."""
MAX_BY_SOCKET = 256 + MAX_BY_LINK
"""Over the unix socket, which TCP's connections take no place of."""


class Place:
    """Whatever of a peer takes one of the places, from its first moment on."""

    client: tuple[str, int] | None
    """None: it comes by the unix socket."""
    since = 0.0
    """When it was last heard of as somebody new, or as one who asks."""
    proxies: Proxies
    """Behind one of these, many people have one address."""

    @property
    def idle(self) -> bool:
        """Whether nothing of it is being answered."""
        return True

    def give_way(self) -> None:
        """End it at once."""
        raise NotImplementedError

    def enter(self, places: set[Any]) -> None:
        """Take a place, which the one that has been idle for longest gives up where all are taken, or else this one."""
        self.since = time.monotonic()
        places.add(self)
        kin = [p for p in places if isinstance(p, Place) and (p.client is None) == (self.client is None)]
        if self.client is None:
            crowd = kin if len(kin) > MAX_BY_SOCKET else []
        else:
            host = self.client[0]
            hosts = (
                [] if self.proxies.trusts(host) else [p for p in kin if p.client is not None and p.client[0] == host]
            )
            crowd = hosts if len(hosts) > MAX_OF_ONE_HOST else kin if len(kin) > MAX_BY_TCP else []
        if crowd:
            others = (p for p in crowd if p is not self and p.idle)
            min(others, key=lambda place: place.since, default=self).give_way()


class Connection(HttpToolsProtocol, Place):
    """uvicorn's, which by itself waits for as long as its peer keeps the connection."""

    _stuck: asyncio.TimerHandle | None = None
    _late: asyncio.TimerHandle | None = None
    _beside_bytes = 0
    handshake: Place | None = None
    """What held its place until now."""

    def __init__(self, proxies: Proxies, **more: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(**more)
        self.proxies = proxies

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It has a place, if there is one."""
        super().connection_made(transport)
        self._expect(HEADER_SECONDS)
        places: set[Any] = self.connections
        places.discard(self.handshake)
        self.enter(places)

    @property
    def _is_git(self) -> bool:
        return self.client is None and self.url.startswith(GIT.encode())

    @property
    def idle(self) -> bool:
        """Whether no request of it is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """A part of a request. Headers without end are refused: what came of them is kept."""
        self._beside_bytes += len(data)
        super().data_received(data)
        if self._beside_bytes <= MAX_BESIDE_BYTES:
            return
        if self.idle:
            self.send_400_response(f"The headers are longer than {MAX_BESIDE_BYTES >> 10} KiB.")
        else:
            self.give_way()

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self.since = time.monotonic()
        self._beside_bytes = 0
        self._expect(HEADER_SECONDS)

    def on_headers_complete(self) -> None:
        """All but its body. How long git may take with its own is up to whoever reads that."""
        super().on_headers_complete()
        self._expect(None if self._is_git else BODY_SECONDS)

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        super().on_body(body)
        self._beside_bytes -= len(body)

    def on_message_complete(self) -> None:
        """All of it: how long the answer takes is up to this side."""
        super().on_message_complete()
        self._expect(None)

    def pause_writing(self) -> None:
        """More waits than a socket's buffers hold: from now on the peer has STUCK_SECONDS to take of it."""
        super().pause_writing()
        seconds = GIT_STUCK_SECONDS if self._is_git else STUCK_SECONDS
        self._stuck = asyncio.get_running_loop().call_later(seconds, self.give_way)

    def resume_writing(self) -> None:
        """It takes."""
        self._let_be()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._let_be()
        self._expect(None)
        super().connection_lost(exc)

    def _expect(self, within_seconds: float | None) -> None:
        if self._late is not None:
            self._late.cancel()
        self._late = None
        if within_seconds is not None:
            self._late = asyncio.get_running_loop().call_later(within_seconds, self.give_way)

    def give_way(self) -> None:
        """Cut it off, whatever is under way."""
        self.transport.abort()

    def _let_be(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
