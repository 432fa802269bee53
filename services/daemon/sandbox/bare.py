"""No sandbox: chosen by a setting, or because this machine has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.daemon.sandbox.environment import inside
from services.daemon.sandbox.sandbox import Confined, Kind
from services.daemon.sandbox.view import View


class Bare:
    """Programs run as the daemon's user, with a HOME of their own and nothing else that holds them."""

    kind: Kind = "off"
    leads = False

    def __init__(self, why: str) -> None:
        self.holds = f"no sandbox ({why}): agents can read and change whatever this account can"

    def command(self, argv: Sequence[str], environment: Mapping[str, str], view: View) -> Confined:
        """The program itself."""
        return Confined(tuple(argv), inside(environment, view, view.scratch))

    async def clear(self, view: View) -> None:
        """Nothing is kept."""
