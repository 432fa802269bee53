"""Which sandbox this machine's agents run in: the one that the settings ask for, or the best that can be had."""

from __future__ import annotations

from services.daemon.sandbox import bubblewrap
from services.daemon.sandbox.bare import Bare
from services.daemon.sandbox.sandbox import Sandbox, SandboxMissing
from shared.config import Settings


def chosen(settings: Settings) -> Sandbox:
    """The sandbox, tried by running something in it. Blocking: some 10 ms. Raises SandboxMissing."""
    match settings.sandbox:
        case "off":
            return Bare("the setting sandbox is off")
        case "bubblewrap":
            found = bubblewrap.find()
            if isinstance(found, str):
                raise SandboxMissing(f'sandbox = "bubblewrap" can\'t be had: {found}; {_MEND}')
            return found
        case "auto":
            found = bubblewrap.find()
            return Bare(f"bubblewrap can't be had: {found}; {_MEND}") if isinstance(found, str) else found


_MEND = "allow user namespaces to this account, or choose another sandbox"
