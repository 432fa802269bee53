"""Which sandbox this machine's agents run in: the one that the settings ask for, or the best that can be had."""

from __future__ import annotations

from services.daemon.sandbox import bubblewrap, landlock
from services.daemon.sandbox.bare import Bare, Missing
from services.daemon.sandbox.sandbox import Sandbox
from shared.config import Settings

_MEND = "allow user namespaces to this account, or run a kernel with Landlock (Linux 6.2 or newer)"


def chosen(settings: Settings) -> Sandbox:
    """The sandbox, tried by running something in it. One that can't be had refuses to run anything.

    Blocking: some 10 ms, or 50 where bubblewrap doesn't work.
    """
    refusals = []
    for kind, find in (("bubblewrap", bubblewrap.find), ("landlock", landlock.find)):
        if settings.sandbox in ("auto", kind):
            found = find()
            if not isinstance(found, str):
                return found
            refusals.append(found)
    why = f"{'; '.join(refusals)}: {_MEND}"
    match settings.sandbox:
        case "off":
            return Bare("the setting sandbox is off")
        case "auto":
            return Bare("this machine has none", why)
        case kind:
            return Missing(kind, f'sandbox = "{kind}" can\'t be had: {why}')
