"""`makima open`: the page in a browser, signed in by a link that works once."""

from __future__ import annotations

import argparse
import os

from cli.client import Failed, ask
from cli.command import Arguments, declare, print_json, say
from cli.gateways import chosen, home, none_runs


def register(command: argparse.ArgumentParser) -> None:
    """Declare `open`."""
    declare(command, _open, "makima open", "makima open --print")
    command.add_argument("--print", dest="only_prints", action="store_true", help="print the link, and open nothing")


def _open(arguments: Arguments) -> int:
    from shared.api.session import SignInLink

    link = ask(SignInLink, "POST", "/v1/session/links")
    url = _base() + link.path
    if arguments.output == "json":
        return print_json({"url": url, "expires_at": link.expires_at})
    if not arguments.only_prints and _opened(url):
        say("The page opens in your browser. Should it not, this link works once, within 5 minutes:")
    print(url)
    return 0


def _base() -> str:
    """The gateway's address as a browser takes it."""
    asked = chosen().address
    if not asked.startswith("unix://"):
        return asked.rstrip("/")
    from shared.running import read

    cluster = read(home())  # what runs may have other settings than ours
    if cluster is None:
        raise Failed(none_runs())
    return cluster.address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _opened(url: str) -> bool:
    """Whether a browser took it. None is started over ssh, nor one that draws in the terminal."""
    shown = os.uname().sysname == "Darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    if not shown or "SSH_CONNECTION" in os.environ:
        return False
    import webbrowser

    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
