"""How large a number in a message may be: what is larger is no message. None of them is beyond what Postgres holds, and
sums of some thousands of them are none either."""

from __future__ import annotations

from typing import Annotated

import msgspec

LARGEST_INTEGER = 2**31 - 1
"""Postgres's `integer`."""

Number = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_INTEGER)]
"""Of an attempt, a version, a step, a slot: an `integer`."""
LineNumber = Annotated[int, msgspec.Meta(ge=0, le=2**30)]
"""Of a line of output; with the lines of a whole frame behind it still an `integer`."""
Sequence = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Counts a daemon's reports, for its whole life; or the bytes of a stream."""
ExitCode = Annotated[int, msgspec.Meta(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
"""What a process ended with; the number of a signal is negative."""
Slots = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
"""What a daemon can run at once."""
Tokens = Annotated[int, msgspec.Meta(ge=0, le=10**17)]
Dollars = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
"""About thirty years at most."""
DaemonName = Annotated[str, msgspec.Meta(max_length=255)]
"""Also a folder's name, and in the key of an index, which has its own limit."""
