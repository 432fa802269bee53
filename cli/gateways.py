"""Which gateway a command asks, and by whose token. This is the one rule; whoever is first in it counts:

1. inside a task (MAKIMA_TASK_ID): the task's own, MAKIMA_API_URL with MAKIMA_TOKEN;
2. `--context NAME`, else MAKIMA_CONTEXT: that context, with the token of its login; `local` is this machine;
3. MAKIMA_API_URL, with MAKIMA_TOKEN;
4. MAKIMA_HOME: the cluster of that home, on this machine;
5. the context in use, by `makima login` or `makima context use`;
6. this account's own cluster, on this machine.

On this machine that is the gateway's socket, with MAKIMA_TOKEN, else the token in the home. No port is ever guessed:
with the cluster down anybody may listen there, and would be told the token.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from cli.failing import Failed
from shared.places import cluster_file, home_of

if TYPE_CHECKING:
    from shared.running import Running

LOCAL = "local"
"""The name of what is no context: this machine's own cluster."""


class Gateway(NamedTuple):
    """Where requests go."""

    address: str
    context: str = ""
    """Its name; empty where there is none."""
    authority: str = ""
    """The certificates (PEM) that its own is held to; empty: the system's."""

    @property
    def named(self) -> bool:
        """Whether somebody named it: else it is the cluster of this machine's home, which may be down."""
        return bool(self.context) or "MAKIMA_API_URL" in os.environ

    @property
    def elsewhere(self) -> bool:
        """Whether it is, as far as can be told from here, on another machine."""
        return not self.address.startswith("unix:") and not is_loopback(urlsplit(self.address).hostname or "")


def chosen() -> Gateway:
    """The gateway of this command, by the rule above. Raises Failed."""
    named = os.environ.get("MAKIMA_API_URL")
    if "MAKIMA_TASK_ID" in os.environ:
        return Gateway(named or f"unix://{_socket()}")
    if name := os.environ.get("MAKIMA_CONTEXT"):
        return _of(name)
    if named:
        refuse_plain_http(named, "MAKIMA_PLAIN_HTTP" in os.environ, "MAKIMA_PLAIN_HTTP=true allows it")
        return Gateway(named)
    return _of(_in_use() if "MAKIMA_HOME" not in os.environ else LOCAL)


def _of(name: str) -> Gateway:
    """A context's gateway; this machine's for `local`."""
    if name == LOCAL:
        return Gateway(f"unix://{_socket()}")
    from cli.contexts import load

    context = load().named(name)
    return Gateway(context.address, name, context.authority)


def take_context(words: list[str]) -> list[str]:
    """The words of a command line without `--context NAME`, which counts from now on. Raises Failed."""
    words = list(words)
    for at, word in enumerate(words):
        if word == "--":
            break
        name = word.partition("=")[2] if word.startswith("--context=") else ""
        if word == "--context" and at + 1 < len(words):
            name = words.pop(at + 1)
        if name:
            if "MAKIMA_TASK_ID" in os.environ:
                raise Failed("inside a task makima asks for the task, by its own token: leave out --context")
            os.environ["MAKIMA_CONTEXT"] = name
            del words[at]
            break
    return words


def _in_use() -> str:
    """The context in use."""
    if not contexts_file().exists():
        return LOCAL
    from cli.contexts import load

    return load().used


def contexts_file() -> Path:
    """Where contexts stand."""
    config = os.environ.get("XDG_CONFIG_HOME") or Path(os.environ.get("HOME", "~")).expanduser() / ".config"
    return Path(config) / "makima" / "contexts.json"


def token_for(gateway: Gateway) -> str:
    """The token for it. Raises Failed."""
    if gateway.context:
        from cli.contexts import token_of

        return token_of(gateway.context)
    if token := os.environ.get("MAKIMA_TOKEN"):
        return token
    if gateway.elsewhere:
        raise Failed(
            f"no token for {gateway.address}: set MAKIMA_TOKEN; the home's is for this machine's cluster alone"
        )
    try:
        return (home() / "token").read_text().strip()
    except OSError:
        if not gateway.named and supervisor() is None:
            raise Failed(none_runs()) from None
        raise Failed(f"no token in {home()}; `makima up` makes one, or set MAKIMA_HOME or MAKIMA_TOKEN") from None


def refuse_plain_http(address: str, allowed: bool, how: str) -> None:
    """Refuse an address to which the token would go so that others can read it. Raises Failed."""
    url = urlsplit(address)
    if url.scheme == "http" and not allowed and not is_loopback(url.hostname or ""):
        raise Failed(f"{address} is plain HTTP: whoever is on the way could read the token; use https://, or {how}")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name."""
    import ipaddress

    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def home() -> Path:
    """The home of this machine's cluster."""
    return home_of(os.environ)


def _socket() -> str:
    """Where the gateway of the cluster that runs listens, which may have other settings than ours; else by ours."""
    try:
        path: str = json.loads(cluster_file(home()).read_text())["socket"]
        return path
    except (OSError, ValueError, KeyError, TypeError):
        from shared.config import ConfigError, load
    try:
        return str(load(os.environ).gateway_socket())
    except ConfigError as error:
        raise Failed(str(error)) from None


def supervisor() -> Running | None:
    """What the supervisor of this home's cluster wrote of itself, if it lives."""
    from shared.running import read

    if (found := read(home())) is None:
        return None
    try:
        os.kill(found.pid, 0)
    except PermissionError:
        return found
    except OSError:
        return None
    return found


def none_runs() -> str:
    """The words for a home on which no cluster runs."""
    return f"no cluster runs on {home()}; `makima up` starts one"
