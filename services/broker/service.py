"""The broker's sockets: binds the endpoints, admits who may connect, hands on what arrives. One thread, one poller."""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import structlog
import zmq

from services.broker import admission
from services.broker.admission import KEY_OF, LINK, Admission
from services.broker.link import Keys
from services.broker.routing import CHECK_SECONDS, EMITS, RECEIVES, SENDS, Broker
from shared.bus.keys import make_keys
from shared.bus.link import server_keys
from shared.bus.skipped import Refused
from shared.bus.wire import keep_alive
from shared.config import ConfigError, Settings
from shared.failpoints import hit
from shared.messages.channels import ADMITTED
from shared.messages.frames import LIMIT_BYTES
from shared.service.process import begin, ready, still_here
from shared.service.scraping import serve_metrics
from shared.service.watchdog import Watchdog

__all__ = ["EMITS", "RECEIVES", "SENDS", "Broker", "Sockets", "main"]

log = structlog.get_logger()

MAX_A_TURN = 256
"""Messages taken from one socket before the others have their turn."""
TURN_SECONDS = 0.05
"""After so long the others have their turn, however few messages that were: one may be of megabytes."""
LINK_WAITING = 200
"""Messages of each daemon on another machine, up and down."""
HANDSHAKE_MILLISECONDS = 2000
"""After so long a connection that isn't admitted is ended: whoever guesses keys waits as long between two guesses."""
_PLACES = {endpoint: f"broker.{endpoint}" for endpoint in ADMITTED}
_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
"""What a socket tells, once, of a connection that ends without having been admitted, whichever side gives up first."""


class Sockets:
    """The endpoints, bound; the link where the settings have one. Raises ConfigError or OSError when keys can't be had,
    ZMQError else."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context = zmq.Context()
        self._admission = Admission(make_keys(settings), Keys(settings.home, settings.owner).who)
        self._requests = self._context.socket(zmq.REP)
        self._requests.bind(admission.ENDPOINT)  # before all others: a socket asks here, or admits nobody
        self._refused_keyless = Refused()
        self._keyless: dict[zmq.Socket[bytes], str] = {}
        """Where each endpoint tells of connections that came to nothing."""
        self._bound = {
            "events-in": self._bind(zmq.XSUB, "events-in"),
            "events-out": self._bind(zmq.XPUB, "events-out"),
            "commands": self._bind(zmq.ROUTER, "commands"),
            "daemons": self._bind(zmq.ROUTER, "daemons", mandatory=True),
            "reports": self._bind(zmq.ROUTER, "reports", mandatory=True),
            "calls": self._bind(zmq.ROUTER, "calls", mandatory=True),
        }
        if settings.link is not None:
            self._bound[LINK] = self._bind_link(settings.link)

    def _bind(self, kind: int, name: str, mandatory: bool = False) -> zmq.Socket[bytes]:
        endpoint = self._settings.socket(name)
        Path(endpoint.removeprefix("ipc://")).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        bound = self._made(kind, name, 100_000)
        if kind == zmq.ROUTER:
            bound.setsockopt(zmq.ROUTER_HANDOVER, 1)
            bound.setsockopt(zmq.ROUTER_MANDATORY, int(mandatory))
        bound.setsockopt(zmq.PLAIN_SERVER, 1)
        bound.bind(endpoint)
        return bound

    def _bind_link(self, address: str) -> zmq.Socket[bytes]:
        """Raises ConfigError when nothing can listen at this address."""
        bound = self._made(zmq.ROUTER, LINK, LINK_WAITING)
        bound.setsockopt(zmq.ROUTER_HANDOVER, 1)
        bound.setsockopt(zmq.ROUTER_MANDATORY, 1)
        bound.setsockopt(zmq.MAXMSGSIZE, LIMIT_BYTES + 1024)
        bound.setsockopt(zmq.IPV6, int("[" in address))
        bound.setsockopt(zmq.CURVE_SERVER, 1)
        bound.setsockopt(zmq.CURVE_SECRETKEY, server_keys(self._settings.home).secret.encode())
        try:
            bound.bind(f"tcp://{address}")
        except zmq.ZMQError as error:
            raise ConfigError(
                f"link = {address!r}: {error}; it is HOST:PORT of this machine, as 0.0.0.0:8421"
            ) from None
        return bound

    def _made(self, kind: int, name: str, waiting: int) -> zmq.Socket[bytes]:
        """A socket that asks the admission, and holds so many messages of each peer in either direction."""
        made = self._context.socket(kind)
        keep_alive(made)
        made.setsockopt(zmq.LINGER, 200)
        made.setsockopt(zmq.SNDHWM, waiting)
        made.setsockopt(zmq.RCVHWM, waiting)
        made.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MILLISECONDS)
        made.setsockopt(zmq.ZAP_DOMAIN, name.encode())
        self._keyless[self._watch(made, name)] = name
        return made

    def _watch(self, bound: zmq.Socket[bytes], name: str) -> zmq.Socket[bytes]:
        """Where a socket tells of connections that came to nothing: the admission is not asked about all of them."""
        place = f"inproc://keyless-{name}"
        bound.monitor(place, _REFUSED)
        watching = self._context.socket(zmq.PAIR)
        watching.setsockopt(zmq.RCVHWM, 0)  # ZeroMQ's own thread waits for room here
        watching.connect(place)
        return watching

    def send(self, endpoint: str, parts: Sequence[bytes]) -> bool:
        """Send parts; whether the peer could be reached. Never waits."""
        place = _PLACES[endpoint]
        hit(place, "before_send")
        try:
            self._bound[endpoint].send_multipart(parts, zmq.NOBLOCK)
        except zmq.ZMQError as error:
            log.info("peer unreachable", endpoint=endpoint, error=str(error))
            return False
        hit(place, "after_send")
        return True

    def serve(self, broker: Broker, stop: socket.socket) -> None:
        """Hand what arrives to the broker until `stop` becomes readable."""
        names = {bound: name for name, bound in self._bound.items()}
        poller = zmq.Poller()
        poller.register(stop, zmq.POLLIN)
        for watched in (self._requests, *self._keyless, *names):
            poller.register(watched, zmq.POLLIN)
        next_check = time.monotonic()
        watchdog = Watchdog(tell=still_here)
        watchdog.start()
        while True:
            watchdog.alive()
            for readable, _ in poller.poll(int(CHECK_SECONDS * 1000)):
                if not isinstance(readable, zmq.Socket):
                    return
                if readable is self._requests:
                    self._admit()
                elif readable in names:
                    self._drain(broker, names[readable], readable)
                else:
                    self._count_keyless(readable)
            if time.monotonic() >= next_check:
                next_check = time.monotonic() + CHECK_SECONDS
                broker.check()

    def close(self) -> None:
        """Unbind everything."""
        for bound in self._bound.values():
            bound.disable_monitor()
            bound.close()
        for watching in (*self._keyless, self._requests):
            watching.close(linger=0)
        self._context.term()

    def _admit(self) -> None:
        for _ in range(MAX_A_TURN):
            try:
                request = self._requests.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            hit("broker.admission", "before_send")
            self._requests.send_multipart(self._admission.answer(request), zmq.NOBLOCK)
            hit("broker.admission", "after_send")

    def _count_keyless(self, watching: zmq.Socket[bytes]) -> None:
        for _ in range(MAX_A_TURN):
            try:
                watching.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if not self._admission.has_refused(self._keyless[watching]):
                self._refused_keyless(f"a peer shows no key on {self._keyless[watching]}")

    def _drain(self, broker: Broker, name: str, bound: zmq.Socket[bytes]) -> None:
        receive = _with_key if name == LINK else _plainly
        until = time.monotonic() + TURN_SECONDS
        for _ in range(MAX_A_TURN):
            try:
                parts = receive(bound)
            except zmq.Again:
                return
            broker.receive(name, parts)
            if time.monotonic() >= until:
                return


def _plainly(bound: zmq.Socket[bytes]) -> list[bytes]:
    return bound.recv_multipart(zmq.NOBLOCK)


def _with_key(bound: zmq.Socket[bytes]) -> list[bytes]:
    """A message with the key of its connection behind the way back."""
    way, *rest = bound.recv_multipart(zmq.NOBLOCK, copy=False)
    return [way.bytes, str(way.get(KEY_OF)).encode(), *(frame.bytes for frame in rest)]


def main() -> int:
    """Run the broker until SIGTERM or SIGINT; its exit code."""
    wake, woken = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        settings = begin()
        sockets = Sockets(settings)
    except (ConfigError, OSError, zmq.ZMQError) as error:
        print(f"makima broker: {error}", file=sys.stderr)
        return 1
    serve_metrics(settings, "broker")
    ready()
    sockets.serve(Broker(settings, sockets.send, time.monotonic), woken)
    sockets.close()
    return 0
