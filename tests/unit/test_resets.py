"""When a limit is reset, in every wording that was seen."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.daemon.agents.resets import SOON_SECONDS, seconds_until

NOW = datetime(2026, 11, 27, 14, 0, 0, tzinfo=ZoneInfo("Europe/Berlin"))
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (f"Claude AI usage limit reached|{int(NOW.timestamp()) + 900}", 900.0),
        ("You've hit your session limit · resets 3pm (Europe/Berlin)", HOUR),
        ("You've hit your session limit · resets 3:30pm (UTC)", 2.5 * HOUR),
        ("You've hit your session limit · resets 9am (Europe/Berlin)", 19 * HOUR),
        ("5-hour limit reached \u2219 resets 3pm", HOUR),
        ("You've hit your limit · resets 12am (UTC)", 11 * HOUR),
        ("You've hit your weekly limit · resets Dec 1, 2pm (Europe/Berlin)", 4 * DAY),
        ("You've hit your weekly limit · resets Dec 1 at 2pm (Europe/Berlin)", 4 * DAY),
        ("You've hit your weekly limit · resets Jan 1, 2027, 12am (UTC)", 34 * DAY + 11 * HOUR),
        ("You've hit your limit · resets Jan 2, 2pm (Europe/Berlin)", 36 * DAY),
        ("You've hit your limit · resets 1:55pm (Europe/Berlin)", SOON_SECONDS),
        ("You've hit your limit · resets 3pm (Atlantis/Lost)", HOUR),
        ("You\u2019ve hit your usage limit. Try again at 3:45 PM.", 1.75 * HOUR),
        ("visit https://example.com/usage or try again at Nov 28th, 2026 2:05 PM.", DAY + 5 * MINUTE),
        ("You\u2019ve hit your usage limit. Try again in 2 days 3 hours 5 minutes.", 2 * DAY + 3 * HOUR + 5 * MINUTE),
        ("Try again in 1 day, 1 hour and 1 minute.", DAY + HOUR + MINUTE),
        ("Limit 30000. Please try again in 1.2s.", 1.2),
        ("Please try again in 6m0s. Visit the page", 6 * MINUTE),
        ("Please try again in 20ms", 0.02),
        ("try again in 45 seconds", 45.0),
        ("Retry after 3600", 3600.0),
        ("You will regain access on 2026-11-28 at 13:00 UTC.", DAY),
        ("the limit resets at 2026-11-27T14:30:00+01:00", 30 * MINUTE),
        ("the limit resets at 2026-11-27T13:30:00.123Z", 30 * MINUTE),
        ("You've hit your usage limit. Try again later.", None),
        ("Request rejected (429) · too fast", None),
        ("resets Feb 30, 3pm", None),
        ("in 5 steps I did 3 things", None),
    ],
)
def test_a_reset_is_read_from_its_words(text: str, seconds: float | None) -> None:
    assert seconds_until(text, NOW) == pytest.approx(seconds) if seconds else seconds_until(text, NOW) is None


@given(st.text(alphabet="resets try again at in 0123456789:,|(){}apmdhs/Z+-janUTC\u2028", max_size=80))
def test_no_words_are_too_odd(text: str) -> None:
    found = seconds_until(text, NOW.replace(tzinfo=timezone(timedelta(hours=-11))))
    assert found is None or found >= 0
