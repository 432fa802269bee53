"""Proxies in front of the gateway: whose word counts on who asks, by which scheme, and at which name."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from litestar.types import HTTPScope

FORWARDED = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
"""What a proxy says. Nobody behind this reads it: of a trusted one it has its effect here, of others it has none."""
_Headers = list[tuple[bytes, bytes]]


class Proxies:
    """Those that are trusted, by their addresses and networks."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(one) for one in trusted)

    def trusts(self, address: str) -> bool:
        """Whether one of them has this address."""
        read = _address(address)
        return read is not None and any(read in network for network in self._networks)

    def believed(self, scope: HTTPScope) -> HTTPScope:
        """The request as whoever asked the proxy made it, where a trusted one says so; else as it came."""
        headers: _Headers = list(scope["headers"])
        plain = [(name, value) for name, value in headers if name not in FORWARDED]
        client = scope["client"]
        if len(plain) == len(headers):
            return scope
        if client is None or not self.trusts(client[0]):
            return {**scope, "headers": plain}
        told = {name: list(_values(headers, name)) for name in FORWARDED}
        asks, scheme, host = (told[name] for name in FORWARDED)
        if host:
            plain = [
                *((name, value) for name, value in plain if name != b"host"),
                (b"host", host[-1].encode("latin-1")),
            ]
        return {
            **scope,
            "headers": plain,
            "client": (self._asks(asks, client[0]), 0) if asks else client,
            "scheme": scheme[-1] if scheme and scheme[-1] in ("http", "https") else scope["scheme"],
        }

    def _asks(self, addresses: list[str], proxy: str) -> str:
        """Who asks: the last of these addresses that is no proxy's. What came before it, anybody may have written."""
        for said in reversed(addresses):
            if _address(said) is None:
                return proxy
            proxy = said
            if not self.trusts(said):
                break
        return proxy


def _values(headers: _Headers, name: bytes) -> Iterator[str]:
    for called, value in headers:
        if called == name:
            yield from (part.strip() for part in value.decode("latin-1").split(",") if part.strip())


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address as it is written, one of IPv4 also as IPv6 has it."""
    try:
        read = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(read, "ipv4_mapped", None) or read
