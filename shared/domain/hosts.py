"""Which hosts an attempt may reach when its network is held to an allow-list: names, addresses, ports. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

Network = Literal["open", "hosts", "none"]
"""What of the network an attempt has: all of it, the hosts of an allow-list, or nothing but the gateway."""
NETWORKS: tuple[Network, ...] = ("open", "hosts", "none")
"""From the widest to the tightest."""

Preset = Literal["anthropic", "openai", "github", "npm", "pypi", "crates", "go", "debian"]
PRESETS: Mapping[Preset, tuple[str, ...]] = {
    "anthropic": ("api.anthropic.com", "platform.claude.com", "claude.ai"),
    "openai": ("api.openai.com", "auth.openai.com", "chatgpt.com"),
    "github": ("github.com", "api.github.com", "codeload.github.com", "*.githubusercontent.com"),
    "npm": ("registry.npmjs.org", "registry.yarnpkg.com"),
    "pypi": ("pypi.org", "files.pythonhosted.org"),
    "crates": ("crates.io", "index.crates.io", "static.crates.io"),
    "go": ("proxy.golang.org", "sum.golang.org", "storage.googleapis.com"),
    "debian": ("deb.debian.org", "security.debian.org"),
}
"""Hosts that go together: a model's API with its sign-in, a forge, a package registry with where its files lie."""

WEB_PORTS = frozenset({80, 443})
"""What an entry without a port allows."""
_PORT = re.compile(r"^(?P<host>\[[^]]*\]|[^:]*):(?P<port>\d{1,5})$")
_NAME = re.compile(r"^(\*\.)?(?!-)[a-z0-9_-]+(\.[a-z0-9_-]+)*$")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Block = ipaddress.IPv4Network | ipaddress.IPv6Network


class HostUnreadable(ValueError):
    """An entry that can't be: which, and what is allowed."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    name: str = ""
    """Lower case; `*.` in front stands for every name below."""
    block: _Block | None = None
    ports: frozenset[int] = WEB_PORTS

    def names(self, host: str) -> bool:
        if self.name.startswith("*."):
            return host.endswith(self.name[1:])
        return bool(self.name) and host == self.name


class Hosts:
    """An allow-list.

    An entry is a name (`example.com`), all names below one (`*.example.com`), or an address or network
    (`10.0.0.0/8`), each with `:PORT`, or else for the ports of the web. Raises HostUnreadable.

    >>> allowed = Hosts(["*.example.com", "10.1.2.3:8080"])
    >>> allowed.named("www.Example.com", 443), allowed.named("example.com", 443), allowed.named("10.1.2.3", 8080)
    (True, False, True)
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._entries = tuple(_read(entry) for entry in entries)

    def named(self, host: str, port: int) -> bool:
        """Whether a request to a host, by name or by address, is for one that the list names."""
        address = _address(host.strip("[]"))
        if address is not None:
            return self._holds(address, port)
        name = host.lower().rstrip(".")
        return any(entry.names(name) and port in entry.ports for entry in self._entries)

    def reaches(self, address: str, port: int) -> bool:
        """Whether what a name stands for may be connected to.

        Addresses of this machine and of private networks are reached only where the list names the address itself:
        whoever answers for a name's addresses could otherwise lead an attempt there.
        """
        found = _address(address)
        return found is not None and (_public(found) or self._holds(found, port))

    def _holds(self, address: _Address, port: int) -> bool:
        return any(e.block is not None and address in e.block and port in e.ports for e in self._entries)


def tighter(asked: Network, allowed: Network) -> bool:
    """Whether a network is as tight as another, or tighter.

    >>> tighter("none", "hosts"), tighter("open", "hosts")
    (True, False)
    """
    return NETWORKS.index(asked) >= NETWORKS.index(allowed)


def _read(entry: str) -> _Entry:
    text, ports = entry.strip().lower(), WEB_PORTS
    if match := _PORT.match(text):
        text, ports = match["host"], frozenset({int(match["port"])})
    try:
        return _Entry(block=ipaddress.ip_network(text.strip("[]"), strict=False), ports=ports)
    except ValueError:
        pass  # then it is a name
    name = text.rstrip(".")
    if not _NAME.match(name) or not all(0 < port < 1 << 16 for port in ports):
        raise HostUnreadable(
            f"{entry!r} is no host: give a name, *.NAME, an address or a network, with :PORT or without"
        )
    return _Entry(name=name, ports=ports)


def _address(text: str) -> _Address | None:
    """An address, as the IPv4 one that it carries where it is one of IPv6 that stands for such."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _public(address: _Address) -> bool:
    return address.is_global and not address.is_multicast
