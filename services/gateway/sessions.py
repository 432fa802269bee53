"""Browsers that are signed in: links that work once, and the cookies that they become.

A person's cookie holds a token of that person's. The cluster's own token never leaves its home: its cookie holds a word
that only who has the token could have written, and that ends with it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Mapping
from uuid import UUID

import msgspec

LINK_SECONDS = 300.0
SESSION_SECONDS = 30 * 24 * 3600
MAX_LINKS = 256
"""Links that nobody has used; the oldest gives way."""
FROM_THE_PAGE = "makima-page"
"""The header that the page's own requests carry: no form, image or frame of another site can send it."""
_PREFIX = "mks_"


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """Who made a link, and so is signed in by it: a person in an owner, or whoever has the cluster's token."""

    owner: UUID
    person: UUID | None
    role: str
    seconds_left: float | None
    """Until the token that made it expires; None: it doesn't."""


class Sessions:
    """The links that were made, and the cookies of the cluster's own token."""

    def __init__(self, token: str, port: int) -> None:
        self._key = hashlib.sha256(b"sessions " + token.encode()).digest()
        self.cookie = f"makima-{port}"
        """Its name: a browser keeps one jar for all ports of a host."""
        self._links: dict[str, tuple[float, Guest]] = {}

    def link(self, guest: Guest) -> str:
        """A code that signs a browser in, once, within LINK_SECONDS."""
        now = time.monotonic()
        self._links = {code: link for code, link in self._links.items() if link[0] > now}
        if len(self._links) >= MAX_LINKS:
            del self._links[next(iter(self._links))]
        code = os.urandom(24).hex()
        self._links[_hash(code)] = (now + LINK_SECONDS, guest)
        return code

    def take(self, code: str) -> Guest | None:
        """Who made the link of a code, the first time that it is asked in its time."""
        until, guest = self._links.pop(_hash(code), (0.0, None))
        return guest if until > time.monotonic() else None

    def begin(self) -> str:
        """A word for the cookie of whoever has the cluster's token."""
        said = f"{int(time.time()) + SESSION_SECONDS:x}_{os.urandom(8).hex()}"
        return f"{_PREFIX}{said}_{self._sign(said)}"

    def holds(self, token: str) -> bool:
        """Whether it is such a word, and its time isn't over."""
        said, _, signed = token.removeprefix(_PREFIX).rpartition("_")
        if not token.startswith(_PREFIX) or not hmac.compare_digest(signed.encode(), self._sign(said).encode()):
            return False
        return int(said.partition("_")[0], 16) > time.time()

    def authorization(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> str | None:
        """The Authorization header of a request, or what stands for it where the page sends a cookie."""
        given = headers.get("authorization")
        if given is None and FROM_THE_PAGE in headers and self.cookie in cookies:
            return f"Bearer {cookies[self.cookie]}"
        return given

    def _sign(self, said: str) -> str:
        return hmac.digest(self._key, said.encode(), "sha256").hex()


def _hash(code: str) -> str:
    """What a code is looked up by: how long that takes tells nothing of those that there are."""
    return hashlib.sha256(code.encode()).hexdigest()
