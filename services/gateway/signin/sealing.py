"""What goes along with a browser while it signs in: whoever carries it can neither make nor change it.

Each sealed thing is of one kind and has its end; a seal is HMAC-SHA256 by a key that follows from the cluster's secret.
"""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import msgspec

from shared.domain.challenges import challenge_of, decoded, encoded

SECONDS = 600.0
"""How long a person may take at the provider and in front of the page."""
CODE_SECONDS = 300.0
"""How long a code may be redeemed: it may have to be copied by hand."""
LONGEST = 4096
_SEAL = 16


class Started(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="started"):
    """A sign-in that a browser began: the cookie's content. What the provider is told follows from `id`."""

    id: bytes
    challenge: str
    port: int | None
    """Where the command line listens on this person's machine; None: it waits for a code to be pasted."""
    state: str
    """What the command line knows the browser by."""
    owner: str | None
    machine: str
    until: float


class Known(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="known"):
    """Who it is that signs in: what the page's form holds, good only together with the cookie of `id`."""

    id: bytes
    person: UUID
    until: float


class Code(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="code"):
    """What a command line redeems, if it has the verifier of the challenge under the seal."""

    person: bytes
    owner: bytes
    until: float


Sealed = TypeVar("Sealed", Started, Known, Code)


class Seal:
    """Makes and reads what is sealed."""

    def __init__(self, secret: bytes, now: Callable[[], float] = time.time) -> None:
        self._key = hmac.digest(secret, b"signing in", "sha256")
        self._now = now

    def until(self, seconds: float) -> float:
        """The end of what begins now."""
        return self._now() + seconds

    def sealed(self, thing: Started | Known | Code, bound: str = "") -> str:
        """A thing as text; it is read only together with what it is `bound` to."""
        body = msgspec.msgpack.encode(thing)
        return encoded(self._mac(body, bound) + body)

    def opened(self, text: str, shape: type[Sealed], bound: str = "") -> Sealed | None:
        """The thing again; None for what isn't one, is another's, or is over."""
        try:
            octets = decoded(text[:LONGEST])
        except ValueError:
            return None
        seal, body = octets[:_SEAL], octets[_SEAL:]
        if not hmac.compare_digest(seal, self._mac(body, bound)):
            return None
        try:
            thing = msgspec.msgpack.decode(body, type=shape)
        except msgspec.MsgspecError:
            return None  # of another kind, or of another version of makima
        return thing if thing.until > self._now() else None

    def code(self, person: UUID, owner: UUID, challenge: str) -> str:
        """A code for whoever has the verifier of a challenge."""
        return self.sealed(Code(person=person.bytes, owner=owner.bytes, until=self.until(CODE_SECONDS)), challenge)

    def redeemed(self, code: str, verifier: str) -> Code | None:
        """What a code is for; None for one that isn't the verifier's, or is over."""
        return self.opened(code, Code, challenge_of(verifier))

    def told(self, what: str, started: Started) -> str:
        """What a provider is told of a sign-in: `state`, `nonce` or `verifier`, each another text of 43 letters."""
        return encoded(hmac.digest(self._key, what.encode() + b" " + started.id, "sha256"))

    def _mac(self, body: bytes, bound: str) -> bytes:
        return hmac.digest(self._key, f"seal {bound}\n".encode() + body, "sha256")[:_SEAL]


def new_id() -> bytes:
    """What tells a sign-in from every other."""
    return os.urandom(16)
