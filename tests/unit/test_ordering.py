"""What the completer orders of a daemon."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from services.completer import ordering
from services.completer.rows import LookDue
from shared.config import Settings
from shared.domain.ids import new_id

ROW = {
    "id": new_id(), "owner_id": new_id(), "title": "A job", "goal": "Make it", "repository_url": "https://github.com/a/b",
    "pr_branch": "b", "pr_url": None, "pr_round": 1, "pr_etag": None, "left_out": [], "delivered_heads": ["a"],
    "seconds": 1.0, "usd": 0.0, "tokens": 0, "all_steps": [], "steps": [],
}  # fmt: skip


@pytest.mark.parametrize(("action", "asked"), [("verify", True), ("watch", False)])
def test_a_verification_asks_for_the_pull_request_that_a_delivery_would(action: str, asked: bool) -> None:
    wanted = {"pull_request_draft": True, "pull_request_labels": ("night",), "pull_request_reviewers": ("ada",)}
    row = msgspec.convert({**ROW, "action": action}, LookDue)
    order = ordering.look(row, Settings(home=Path("/h"), **wanted)).order  # type: ignore[arg-type]
    told = order.pull_request
    assert (told is not None) is asked
    if told is not None:
        assert (told.draft, told.labels, told.reviewers) == (True, ("night",), ("ada",))
