"""What reading bytes from outside can raise, in one place: who reads them catches UNREADABLE and goes on."""

from __future__ import annotations

import msgspec

UNREADABLE = (msgspec.MsgspecError, RecursionError, OverflowError, ValueError, TypeError)
"""Besides msgspec's own errors: nesting beyond the stack's depth, numbers out of range, text that is no UTF-8, and keys
that can't be keys."""
