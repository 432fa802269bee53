"""`python -m tests.faults.other_version ahead|behind`: a daemon whose messages are of the next version, or the first.

Ahead it says more than anybody here knows: a field more in every report, and reports of a type more. Behind it says
less: no field that has a default.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from shared.domain.ids import new_id
from shared.messages import frames

AHEAD = sys.argv[1] == "ahead"


def header(sender: str) -> bytes:
    """A header of the daemon's version."""
    version = frames.VERSION + 1 if AHEAD else frames.VERSION
    more = {"mood": "hopeful"} if AHEAD else {}
    return msgspec.msgpack.encode({"v": version, "id": new_id(), "at": datetime.now(UTC), "sender": sender, **more})


def encode(reports: Sequence[msgspec.Struct]) -> bytes:
    """A body of the daemon's version."""
    told = [_ahead(report) if AHEAD else _behind(report) for report in reports]
    return msgspec.msgpack.encode([*told, {"type": "Prophecy", "says": "rain"}] if AHEAD else told)


def _ahead(report: msgspec.Struct) -> dict[str, Any]:
    return {**msgspec.msgpack.decode(msgspec.msgpack.encode(report)), "mood": "hopeful"}


def _behind(report: msgspec.Struct) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(report))
    defaults = {f.encode_name: f.default for f in msgspec.structs.fields(report)}
    return {k: v for k, v in told.items() if k not in defaults or not _same(v, defaults[k])}


def _same(value: object, default: object) -> bool:
    return value == (list(default) if isinstance(default, tuple) else default)


def main() -> int:
    """Run the daemon."""
    frames.header = header
    frames.REPORTS.encode = encode  # type: ignore[method-assign, assignment]
    from services.daemon.service import main as daemon
    from shared.service.process import run

    return run("daemon", daemon)


if __name__ == "__main__":
    sys.exit(main())
