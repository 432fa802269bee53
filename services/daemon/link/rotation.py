"""How a daemon gets another key while it works: whoever wants that leaves the key in its home, and it offers that.

It offers it by the key that it has. The cluster may take it and the answer be lost; so where one of both keys is heard
nothing of, it shows the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from shared.bus.link import Link, Pending, keep_link, keep_pending, key_pair, pending_path, public_of, read_pending
from shared.bus.over_link import LinkChannel
from shared.config import ConfigError
from shared.messages.link import Join, Joined, NotJoined, Upward

log = structlog.get_logger()

LOOK_SECONDS = 1.0
UNHEARD_LOOKS = 4
"""So many times in a row the cluster may say nothing at all before the other key is shown."""


def ask_for_another(home: Path, link: Link) -> str:
    """Leave another key for this home's daemon to offer; its public part. One that is left already stays.

    Raises ConfigError and OSError.
    """
    if (pending := rotating(home, link)) is None:
        pending = Pending(address=link.address, server=link.server, by=public_of(link.secret), secret=key_pair().secret)
        keep_pending(home, pending)
    return public_of(pending.secret)


def rotating(home: Path, link: Link) -> Pending | None:
    """The key that this link's daemon is to offer, if there is one. Raises ConfigError."""
    pending = read_pending(home)
    if pending is None or pending.server != link.server or pending.by != public_of(link.secret):
        return None  # what is left of a joining, or of a rotation that is done
    return pending


class Rotation:
    """Offers keys over the daemon's own connection."""

    def __init__(
        self,
        home: Path,
        link: Link,
        channel: LinkChannel,
        say: Callable[[Upward], Awaitable[None]],
        hello: Callable[[], None],
        heard: Callable[[], int],
    ) -> None:
        """`hello`: says who this is, which a new connection begins with. `heard`: how many messages have come."""
        self._home = home
        self._link = link
        self._channel = channel
        self._say = say
        self._hello = hello
        self._heard = heard
        self._heard_before = 0
        self._offered: Pending | None = None
        self._shown = link.secret
        self._unheard = 0

    async def run(self) -> None:
        """Offer what is left in the home, for ever."""
        while True:
            try:
                self._offered = rotating(self._home, self._link)
            except (ConfigError, OSError) as error:
                log.warning("no other key", error=str(error))
            if self._offered is not None:
                await self._offer(self._offered)
            await asyncio.sleep(LOOK_SECONDS)

    def on(self, answer: Joined | NotJoined) -> None:
        """Take in what the cluster says of a key."""
        offered = self._offered
        if offered is None or answer.key != public_of(offered.secret):
            return
        if isinstance(answer, NotJoined) and answer.waits:
            return
        try:
            self._answered(answer, offered)
        except OSError as error:
            log.warning("no other key", error=str(error))  # offered and answered once more

    def _answered(self, answer: Joined | NotJoined, offered: Pending) -> None:
        if isinstance(answer, Joined):
            link = msgspec.structs.replace(self._link, secret=offered.secret)
            keep_link(self._home, link)
            self._link = link
            log.info("another key", daemon=link.name)
        else:
            log.warning("no other key", error=answer.reason)
        self._offered = None
        pending_path(self._home).unlink(missing_ok=True)
        self._show(self._link.secret)

    async def _offer(self, offered: Pending) -> None:
        if self._channel.standing == "away":
            return
        heard = self._heard()
        self._unheard = self._unheard + 1 if heard == self._heard_before else 0
        self._heard_before = heard
        if self._unheard > UNHEARD_LOOKS:
            self._unheard = 0
            self._show(offered.secret if self._shown == self._link.secret else self._link.secret)
        await self._say(Join(key=public_of(offered.secret), name=self._link.name))

    def _show(self, secret: str) -> None:
        if secret != self._shown:
            self._shown = secret
            self._channel.show(secret)
            self._hello()
