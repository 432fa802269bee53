"""When a limit is reset, as agents and the servers of their models word it. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

JUST_PASSED = timedelta(minutes=10)
"""A time of day that has passed by less than this is not tomorrow's: the limit is reset about now."""
SOON_SECONDS = 30.0

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_EPOCH = re.compile(r"limit reached\|(\d{10})(?!\d)")
_ISO = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)(?:T| at | )(?P<time>\d\d:\d\d(?::\d\d)?)(?:\.\d{1,9})?"
    r"\s?(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?"
)
_DATE = (
    rf"(?P<month>{'|'.join(_MONTHS)})[a-z]{{0,6}} "
    r"(?P<day>\d{1,2})(?:st|nd|rd|th)?(?:,? (?P<year>\d{4}))?,?(?: at)? "
)
_CLOCK = re.compile(
    rf"(?:resets?|again|access|available)(?: at| on)? (?:{_DATE})?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))? ?(?P<half>[ap])\.?m\b\.?(?: \((?P<zone>[\w/+-]{1,40})\))?",
    re.IGNORECASE,
)
_UNIT = r"(?:milliseconds?|ms|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)(?![a-z])"
_SPAN = re.compile(
    rf"(?:in|after) ((?:\d{{1,9}}(?:\.\d{{1,9}})? ?{_UNIT}[ ,]{{0,2}}(?:and )?)+|\d{{1,9}}$)", re.IGNORECASE
)
_PART = re.compile(r"(\d+(?:\.\d+)?) ?(ms|milli|d|h|m|s)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "milli": 0.001, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def seconds_until(text: str, now: datetime) -> float | None:
    """How long until a limit is reset, where the words name a time or a span; at least SOON_SECONDS for a time.

    `now` knows its zone, in which a time is read that names none.

    >>> seconds_until("try again in 1 hour 5 minutes", datetime.now(UTC))
    3900.0
    """
    if found := _EPOCH.search(text):
        return _from(datetime.fromtimestamp(int(found[1]), UTC), now)
    for read, pattern in ((_date, _ISO), (_clock, _CLOCK)):
        for found in pattern.finditer(text):
            if (at := read(found, now)) is not None:
                return _from(at, now)
    if found := _SPAN.search(text.strip().rstrip(".")):
        return _span(found[1])
    return None


def _from(at: datetime, now: datetime) -> float:
    return max((at - now).total_seconds(), SOON_SECONDS)


def _date(found: re.Match[str], now: datetime) -> datetime | None:
    zone = (found["zone"] or "").replace("UTC", "Z")
    try:
        at = datetime.fromisoformat(f"{found['day']}T{found['time']}{zone}")
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=now.tzinfo)


def _clock(found: re.Match[str], now: datetime) -> datetime | None:
    """A time of day, the next one where no date is named; a date without a year is the nearest one."""
    zone = _zone(found["zone"]) or now.tzinfo
    here = now.astimezone(zone)
    hour = int(found["hour"]) % 12 + (12 if found["half"] in "pP" else 0)
    try:
        at = here.replace(hour=hour, minute=int(found["minute"] or 0), second=0, microsecond=0)
        if found["month"]:
            month = _MONTHS.index(found["month"].lower()) + 1
            at = at.replace(year=int(found["year"] or here.year), month=month, day=int(found["day"]))
            if not found["year"] and here - at > timedelta(days=180):
                at = at.replace(year=here.year + 1)
        elif at < here - JUST_PASSED:
            at += timedelta(days=1)
    except ValueError:
        return None
    return at


def _zone(name: str | None) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, OSError, KeyError):  # no such zone, or no zones on this machine
        return None


def _span(text: str) -> float:
    if text.isdigit():
        return float(text)
    return sum(float(number) * _SECONDS[unit.lower()] for number, unit in _PART.findall(text))
