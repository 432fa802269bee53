"""Identifiers: UUIDv7 (RFC 9562), whose first 48 bits are a clock, so that new rows lie together in an index."""

from __future__ import annotations

import os
import threading
import time
from uuid import UUID

_lock = threading.Lock()
_last = UUID(int=0)


def new_id() -> UUID:
    """A fresh UUIDv7 from the system's clock and randomness, above all that this process made before.

    So rows that are made in one go sort in the order they were made, also within a millisecond.
    """
    global _last
    with _lock:
        _last = max(uuid7(time.time_ns() // 1_000_000, os.urandom(10)), UUID(int=_last.int + 1))
        return _last


def uuid7(milliseconds: int, randomness: bytes) -> UUID:
    """The UUIDv7 of a Unix time in milliseconds and ten random bytes."""
    tail = int.from_bytes(randomness, "big")
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | (tail >> 68 & 0xFFF) << 64 | 0b10 << 62
    return UUID(int=value | tail & (1 << 62) - 1)
