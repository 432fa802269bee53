"""Who listens to the live stream: what a client may see, and what waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from uuid import UUID

import msgspec

from shared.messages.events import AnyEvent, DaemonConnected, DaemonLost, SlotsFree, TaskOutput

MAX_WAITING_BYTES = 4 << 20
"""A client for whom more than this waits is cut off; it may carry on from the last number that it saw."""
KEEP_ALIVE_SECONDS = 15.0
CUT_OFF = b"event: cut_off\ndata: {}\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
PASSING = (TaskOutput, DaemonConnected, DaemonLost, SlotsFree)
"""Events that pass by without being kept in the audit log."""


class Interest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may and wants to see."""

    owner: UUID
    owner_name: str
    directive: UUID | None = None
    task: UUID | None = None
    output: bool = True
    """Whether it may see what tasks print."""

    def covers(self, owner: UUID | None, directive: UUID | None, task: object) -> bool:
        """Whether an entry of the log is of interest."""
        return (
            owner == self.owner
            and self.directive in (None, directive)
            and (self.task is None or task == str(self.task))
        )

    def covers_passing(self, event: AnyEvent) -> bool:
        """Whether an event that isn't kept is of interest. Output is only for who asks for a directive or a task."""
        if isinstance(event, TaskOutput):
            asked = self.output and self.directive is not None and event.directive == self.directive
            return asked and self.task in (None, event.task)
        if isinstance(event, PASSING):
            return self.directive is None and event.owner == self.owner_name
        return False


class Client:
    """What waits for one listener. Bounded: when too much waits, it is cut off."""

    def __init__(self, interest: Interest, above: int) -> None:
        self.interest = interest
        self.above = above
        self.ended = asyncio.Event()
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._some = asyncio.Event()
        self.on_end: Callable[[], object] | None = None

    def put(self, frame: bytes) -> bool:
        """Let a frame wait; False when this was too much, and the client has been cut off."""
        self._frames.append(frame)
        self._bytes += len(frame)
        self._some.set()
        if self._bytes <= MAX_WAITING_BYTES:
            return True
        self.end()
        return False

    def end(self) -> None:
        """Cut off: what waits is forgotten, and its stream ends, even where it is stuck in sending."""
        self._frames.clear()
        self.ended.set()
        self._some.set()
        if self.on_end is not None:
            self.on_end()

    async def frames(self) -> AsyncIterator[bytes]:
        """Frames as they come, and a comment when none came for a while, until the client is cut off."""
        while not self.ended.is_set():
            try:
                await asyncio.wait_for(self._some.wait(), KEEP_ALIVE_SECONDS)
            except TimeoutError:
                yield KEEP_ALIVE
                continue
            chunk = b"".join(self._frames)
            self._frames.clear()
            self._bytes = 0
            self._some.clear()
            if chunk:
                yield chunk
        yield CUT_OFF
