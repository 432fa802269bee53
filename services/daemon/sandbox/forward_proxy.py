"""A program of its own: the forwarding proxy of one attempt, which connects to the hosts of an allow-list alone.

    python -m services.daemon.sandbox.forward_proxy SOCKET ENTRY...

It listens on a unix socket for CONNECT and for plain HTTP, says `ready` on its standard output, then each request that
it refused, and ends when its standard input does: whatever ends the daemon ends its proxies. The proxy is proxy.py
(https://proxypy.readthedocs.io); what it may connect to is decided here.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import sys
import tempfile
import threading

import msgspec
from proxy import Proxy
from proxy.common.flag import flags
from proxy.http.exception import HttpRequestRejected
from proxy.http.parser import HttpParser
from proxy.http.proxy import HttpProxyBasePlugin

from shared.domain.hosts import Hosts

READY = b"ready\n"
_MAX_MEMORY_BYTES = 2 << 30
"""What it buffers is bounded by this: an upload faster than its receiver ends, and no other connection with it."""
_STACK_BYTES = 512 << 10
_IDLE_SECONDS = 24 * 3600
"""proxy.py drops a connection that is silent for longer; a model may think for long."""
_CHUNK_BYTES = 64 << 10

flags.add_argument("--allowed", default="", help="Entries of the allow-list, with spaces between.")


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was not carried out."""

    host: str
    port: int
    why: str


class Gate(HttpProxyBasePlugin):
    """Decides by the name that was asked for, and connects to the address that was looked at, not to a later one."""

    _address: str | None = None

    def before_upstream_connection(self, request: HttpParser) -> HttpParser | None:
        """Raises HttpRequestRejected for a host that the list doesn't name, or whose addresses it may not reach."""
        host, port = (request.host or b"").decode("ascii", "replace").strip("[]"), request.port or 0
        hosts = Hosts(self.flags.allowed.split())
        if not hosts.named(host, port):
            raise _refused(host, port, "no allowed host")
        try:
            found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except OSError as error:
            raise HttpRequestRejected(
                status_code=502, reason=b"Bad Gateway", body=f"{host}: {error}".encode()
            ) from None
        self._address = next((address for address in found if hosts.reaches(address, port)), None)
        if self._address is None:
            raise _refused(host, port, f"its address {found[0]} is of this machine or of a private network")
        return request

    def resolve_dns(self, host: str, port: int) -> tuple[str | None, tuple[str, int] | None]:  # noqa: ARG002
        """The address that was looked at."""
        return self._address, None

    def handle_upstream_chunk(self, chunk: memoryview) -> memoryview | None:
        """Hand an answer on by itself, all of it before more is read. One thread a request, so it may wait.

        proxy.py would parse an answer, which keeps all of it, and queue it for whoever doesn't read.
        """
        self.client.queue(chunk)
        with contextlib.suppress(OSError):  # it is gone: proxy.py finds that out by itself
            while self.client.has_buffer():
                select.select([], [self.client.connection], [])
                self.client.flush()
        return None


def _refused(host: str, port: int, why: str) -> HttpRequestRejected:
    line = msgspec.json.encode(Refusal(host=host, port=port, why=why)) + b"\n"
    with contextlib.suppress(OSError):  # the daemon is gone: so are we, in a moment
        os.write(1, line)
    return HttpRequestRejected(
        status_code=403, reason=b"Forbidden", body=f"makima: {host}:{port} was refused: {why}\n".encode()
    )


def main(path: str, entries: list[str]) -> int:
    """Serve until standard input ends; the exit code."""
    Hosts(entries)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
    threading.stack_size(_STACK_BYTES)
    with tempfile.TemporaryDirectory(prefix="makima-proxy-") as data:
        options = {
            "unix-socket-path": path,
            "allowed": " ".join(entries),
            "data-dir": data,  # proxy.py makes folders for certificates and caches, used or not
            "cache-dir": data,
            "timeout": _IDLE_SECONDS,
            "num-acceptors": 1,
            "client-recvbuf-size": _CHUNK_BYTES,
            "server-recvbuf-size": _CHUNK_BYTES,
            "max-sendbuf-size": _CHUNK_BYTES,
            "log-level": "CRITICAL",
        }
        arguments = ["--threaded", *(f"--{name}={value}" for name, value in options.items())]
        with Proxy(arguments, plugins=[Gate]):
            os.write(1, READY)
            while os.read(0, 1 << 10):
                pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
