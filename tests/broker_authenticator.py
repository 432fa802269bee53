"""The broker's authenticator, for those who stand in its place: pyzmq's own authenticator, with the roles' keys."""

from __future__ import annotations

import zmq
from zmq.auth.thread import ThreadAuthenticator

from shared.bus.keys import make_keys
from shared.config import Settings
from shared.messages.channels import ADMITTED


def authenticator(context: zmq.Context[zmq.Socket[bytes]], settings: Settings) -> ThreadAuthenticator:
    """Make the roles' keys, and admit by them to the context's sockets that are `guarded`, until it is stopped."""
    keys = make_keys(settings)
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    for endpoint, roles in ADMITTED.items():
        authenticator.configure_plain(endpoint, {role: keys[role].decode() for role in roles})
    return authenticator


def guarded(bound: zmq.Socket[bytes], endpoint: str) -> zmq.Socket[bytes]:
    """A socket, not yet bound, that admits as the broker's endpoint of this name does."""
    bound.setsockopt(zmq.PLAIN_SERVER, 1)
    bound.setsockopt(zmq.ZAP_DOMAIN, endpoint.encode())
    return bound
