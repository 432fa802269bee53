"""What a person may do in an owner."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Each may do what those before it may."""

    VIEWER = "viewer"
    """Looks at everything of the owner."""
    OPERATOR = "operator"
    """Gives work, steers and ends it."""
    ADMIN = "admin"
    """Says who is a member, which daemons join, and what the owner may use."""

    def includes(self, needed: Role) -> bool:
        """Whether it may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)
