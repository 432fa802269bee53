"""Imported by Python at its start when its folder is on PYTHONPATH: the clock is off by CLOCK_OFF_SECONDS."""

import datetime
import os
import time

from shared.messages import frames

_OFF = float(os.environ.get("CLOCK_OFF_SECONDS", "0"))
_time, _time_ns = time.time, time.time_ns


class _Clock(datetime.datetime):
    """What headers take their time from."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
        """The time that this process believes."""
        return datetime.datetime.now(tz) + datetime.timedelta(seconds=_OFF)


time.time = lambda: _time() + _OFF
time.time_ns = lambda: _time_ns() + int(_OFF * 1e9)
frames.datetime = _Clock  # type: ignore[misc]
