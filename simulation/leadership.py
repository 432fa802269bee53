"""Leadership in a history: a throne a role, free some time after its holder's death, or taken from one that stalls."""

from __future__ import annotations

import asyncio
from random import Random

TAKEN_OVER_SECONDS = 1.0
UNAWARE_SECONDS = 5.0
"""For so long at most one that was deposed works on, beside its successor."""


class Throne:
    """What the processes of one role lead by."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.holder: Candidate | None = None
        self.held_since = 0.0
        self._changed = asyncio.Event()

    async def change(self) -> None:
        """Wait until the holder is another."""
        await self._changed.wait()

    def give(self, holder: Candidate | None) -> None:
        """Let another one hold it, or nobody."""
        self.holder = holder
        self.held_since = asyncio.get_running_loop().time()
        self._changed.set()
        self._changed = asyncio.Event()

    def depose(self) -> None:
        """Take it from whoever holds it, who hasn't heard of it yet."""
        self.give(None)


class Candidate:
    """The `Leadership` of one life of a service."""

    def __init__(self, throne: Throne) -> None:
        self._throne = throne
        self._leads = False

    @property
    def overstays(self) -> bool:
        """Whether it works though another one has led for longer than it could be unaware of that."""
        throne, now = self._throne, asyncio.get_running_loop().time()
        return self._leads and throne.holder not in (self, None) and now > throne.held_since + UNAWARE_SECONDS

    async def won(self) -> None:
        """Wait until the throne is free, and take it."""
        while self._throne.holder is not None:
            await self._throne.change()
        self._throne.give(self)
        self._leads = True

    async def lost(self) -> None:
        """Wait until another one has taken the throne, and for a while longer; take it again if nobody has."""
        throne = self._throne
        while throne.holder in (self, None):
            if throne.holder is None:
                throne.give(self)
            await throne.change()
            await asyncio.sleep(throne.rng.uniform(0, UNAWARE_SECONDS))
        self._leads = False

    async def resign(self) -> None:
        """Leave the throne to another one, soon."""
        if self._throne.holder is self:
            seconds = self._throne.rng.uniform(0, TAKEN_OVER_SECONDS)
            asyncio.get_running_loop().call_later(seconds, self._leave)

    def _leave(self) -> None:
        if self._throne.holder is self:
            self._throne.give(None)
