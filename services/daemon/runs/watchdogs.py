"""When an agent's run is to be ended from outside: silent too long, no exit after its result, too dear. Pure.

Times are of one monotonic clock, in seconds, and handed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from services.daemon.agents.events import Event, Problem, Result, ToolCall, ToolResult, Usage, Waiting

MAX_TOKENS = 10**15
MAX_DOLLARS = 1e9
"""What an agent says beyond these nobody could pay."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how much a run may take. None: no limit."""

    stall_seconds: float = 600.0
    tool_seconds: float = 3600.0
    exit_seconds: float = 10.0
    """From the result to the exit."""
    max_tokens: int | None = None


class Stop(StrEnum):
    """Why a run was ended from outside."""

    STALLED = "stalled"
    FINISHED = "finished"
    """Its result is there, its exit isn't."""
    TOKENS = "tokens"
    MEMORY = "memory"


class Meter:
    """What a run has cost so far. The same message's usage counts once; a result's own sum replaces them all."""

    def __init__(self) -> None:
        self._messages: dict[str, int] = {}
        self._cost = 0.0
        self._tokens = 0

    def saw(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, Usage):
            self._messages[event.key] = event.tokens
        elif isinstance(event, Result):
            self._cost = event.cost_usd or self._cost
            self._tokens = event.tokens or self._tokens

    @property
    def cost_usd(self) -> float:
        """Known only once the agent said it."""
        return min(max(self._cost, 0.0), MAX_DOLLARS)

    @property
    def tokens(self) -> int:
        """Counted as they come."""
        return min(max(self._tokens, sum(self._messages.values()), 0), MAX_TOKENS)


class Watch:
    """What a run has said, and when it is to be ended.

    >>> watch = Watch(Limits(stall_seconds=5), began=0)
    >>> watch.due(4), watch.due(5)
    (None, <Stop.STALLED: 'stalled'>)
    """

    def __init__(self, limits: Limits, began: float, speaks: bool = True) -> None:
        self._limits = limits
        self._last = began
        self._ended: float | None = None
        self._tools: dict[str, float] = {} if speaks else {"": began}
        """Running tool calls, with when they began. A script is one long tool call."""
        self.meter = Meter()

    def heard(self, now: float) -> None:
        """Something came, whatever it is."""
        self._last = now

    def saw(self, events: Iterable[Event], now: float) -> None:
        """Note events."""
        self._last = now
        for event in events:
            self.meter.saw(event)
            match event:
                case ToolCall(id):
                    self._tools[id] = now
                case ToolResult(id):
                    self._tools.pop(id, None)
                case Result() | Problem():
                    self._ended = now
                case Waiting():
                    pass
                case _ if self._ended is not None and not isinstance(event, Usage):
                    self._ended = None  # it went on: another turn began

    def due(self, now: float) -> Stop | None:
        """Why it is to be ended now."""
        if self._limits.max_tokens is not None and self.meter.tokens > self._limits.max_tokens:
            return Stop.TOKENS
        if now < self.deadline():
            return None
        return Stop.STALLED if self._ended is None else Stop.FINISHED

    def deadline(self) -> float:
        """When to look again, if nothing is heard until then."""
        if self._ended is not None:
            return self._ended + self._limits.exit_seconds
        stalled = self._last + self._limits.stall_seconds
        if not self._tools:
            return stalled
        return max(stalled, min(self._tools.values()) + self._limits.tool_seconds)
