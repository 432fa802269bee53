"""Who may connect to the broker: a role to its own endpoints, with its key; to the link whoever's key is enrolled.

Answers ZeroMQ's authentication requests. PLAIN is enough where the sockets are files of this machine; nothing is asked
again once a connection stands. Over TCP it is CURVE, and each message tells by which key it came: `KEY_OF`.
https://rfc.zeromq.org/spec/27 (the requests), https://rfc.zeromq.org/spec/24 (PLAIN), https://rfc.zeromq.org/spec/25
(CURVE)
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from zmq.utils import z85

from shared.bus.skipped import Refused
from shared.messages.channels import ADMITTED, Role

ENDPOINT = "inproc://zeromq.zap.01"
"""Where ZeroMQ sends its requests, within the context of the sockets that they are about."""
VERSION = b"1.0"
LINK = "link"
KEY_OF = "User-Id"
"""The property of a message that tells the key, in Z85, of the connection that it came by."""
KEY_BYTES = 32
ADMITTED_STATUS = b"200"
REFUSED_STATUS = b"300"
"""Temporary: its client hears nothing until the handshake's time is over, then tries again. After a 400 it never would.

A key that is put right then needs no restart of the broker's, and a broker that is put right none of its clients'.
"""


class Admission:
    """Admits the roles with these keys, and to the link whom `of_link` knows by the key.

    What it refuses is counted, and logged now and then.
    """

    def __init__(self, keys: Mapping[Role, bytes], of_link: Callable[[str], str | None] = lambda _: None) -> None:
        self._of_link = of_link
        self._keys: dict[bytes, tuple[Role, bytes]] = {role.encode(): (role, key) for role, key in keys.items()}
        self.refused = Refused()
        self._unended: Counter[str] = Counter()
        """By endpoint, refused connections of which its socket has still to tell that they ended."""

    def answer(self, request: Sequence[bytes]) -> list[bytes]:
        """The reply to one request, whose domain is the endpoint."""
        number = request[1] if len(request) > 1 else b""
        if (why := self._objection(request)) is None:
            user = z85.encode(request[6]) if request[5] == b"CURVE" else request[6]
            return [VERSION, number, ADMITTED_STATUS, b"", user, b""]
        self.refused(why)
        self._unended[request[2].decode(errors="replace") if len(request) > 2 else ""] += 1
        return [VERSION, number, REFUSED_STATUS, b"", b"", b""]

    def has_refused(self, endpoint: str) -> bool:
        """Whether a connection that ended at this endpoint unadmitted is one that was refused, and counted, here."""
        counted = self._unended[endpoint] > 0
        self._unended[endpoint] -= counted
        return counted

    def _objection(self, request: Sequence[bytes]) -> str | None:
        """Why a connection is refused; None for one that is admitted. Never holds a key."""
        if len(request) == 7 and request[0] == VERSION and request[5] == b"CURVE" and len(request[6]) == KEY_BYTES:
            return self._objection_to_key(request)
        if len(request) != 8 or request[0] != VERSION or request[5] != b"PLAIN":
            return "the request is none of ZeroMQ's for PLAIN"
        _, _, domain, address, _, _, name, shown = request
        who = f"{name[:40].decode(errors='replace')!r} from {address.decode(errors='replace')}"
        endpoint = domain.decode(errors="replace")
        known = self._keys.get(name)
        if known is None:
            return f"{who} is no role"
        role, key = known
        if not hmac.compare_digest(shown, key):
            return f"{who} shows a wrong key on {endpoint}"
        if role not in ADMITTED.get(endpoint, frozenset()):
            return f"{who} has nothing to do on {endpoint}"
        return None

    def _objection_to_key(self, request: Sequence[bytes]) -> str | None:
        endpoint, address, key = request[2].decode(errors="replace"), request[3].decode(errors="replace"), request[6]
        if endpoint != LINK:
            return f"a key from {address} has nothing to do on {endpoint}"
        shown = z85.encode(key).decode()
        return None if self._of_link(shown) else f"the key {shown} from {address} is nobody's"
