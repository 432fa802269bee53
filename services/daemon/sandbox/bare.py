"""No sandbox: because a setting says so, because this machine has none, or because the one asked for can't be had."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from services.daemon.sandbox.sandbox import Confined, Kind, SandboxMissing
from services.daemon.sandbox.view import View


class Bare:
    """Programs run as the daemon's user does, with its HOME; they are told what they may touch, but not held to it."""

    kind: Kind = "off"
    private = False
    leads = False
    limits = False
    refuses = False

    def __init__(self, why: str, warning: str = "") -> None:
        self.holds = f"none ({why}): agents can read and change whatever this account can"
        self.warning = warning and f"no sandbox: {warning}"

    def command(self, argv: Sequence[str], environment: Mapping[str, str], view: View) -> Confined:  # noqa: ARG002
        """The program itself."""
        return Confined(tuple(argv), environment)

    async def clear(self, view: View) -> None:
        """Nothing is kept."""

    async def sweep(self, running: Collection[str]) -> None:
        """Nothing is kept."""


class Missing:
    """In the place of a sandbox that was asked for by name and can't be had: nothing runs."""

    private = True
    leads = False
    limits = False
    refuses = True

    def __init__(self, kind: Kind, why: str) -> None:
        self.kind = kind
        self.holds = why
        self.warning = why

    def command(self, *_: object) -> Confined:
        """Raises SandboxMissing."""
        raise SandboxMissing(self.holds)

    async def clear(self, view: View) -> None:
        """Nothing is kept."""

    async def sweep(self, running: Collection[str]) -> None:
        """Nothing is kept."""
