"""Which sandbox this machine's agents run in: the one that the settings ask for, or the best that can be had."""

from __future__ import annotations

from services.daemon.sandbox import bubblewrap
from services.daemon.sandbox.bare import Bare, Missing
from services.daemon.sandbox.sandbox import Sandbox
from shared.config import Settings

_MEND = "allow user namespaces to this account"


def chosen(settings: Settings) -> Sandbox:
    """The sandbox, tried by running something in it. One that can't be had refuses to run anything.

    Blocking: some 10 ms.
    """
    if settings.sandbox == "off":
        return Bare("the setting sandbox is off")
    found = bubblewrap.find()
    if not isinstance(found, str):
        return found
    if settings.sandbox == "auto":
        return Bare("this machine has none", f"{found}; {_MEND}")
    return Missing("bubblewrap", f'sandbox = "bubblewrap" can\'t be had: {found}; {_MEND}')
