"""The part of `makima login` that a browser does: a person signs in there, and what it brings back is redeemed here."""

from __future__ import annotations

import hmac
import html
import os
import queue
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Protocol, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from cli.client import Failed
from cli.text import clean
from shared.api.signin import Redeemed, Redemption, SignInShown
from shared.domain.challenges import challenge_of, mark_of, new_verifier

A = TypeVar("A")
PATIENCE_SECONDS = 600.0
"""How long a person may take in the browser; the gateway waits no longer either."""
PEER_SECONDS = 10.0
LONGEST_CODE = 1000
_SCREENS = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
"""Where one of these is set, or on macOS, a browser can be opened."""


class Ask(Protocol):
    """A request to a gateway without a token; the answer in its shape. Raises Failed."""

    def __call__(self, shape: type[A], method: str, path: str, body: object = None) -> A:
        """Ask."""


class Brought(NamedTuple):
    """What a browser brought back: a code, or why there is none."""

    code: str
    error: str


def provider(ask: Ask) -> SignInShown | None:
    """How people sign in at the gateway; None where they don't, as at one of an older version. Raises Failed."""
    try:
        told = ask(SignInShown, "GET", "/signin/provider")
    except Failed as error:
        if error.status == 404:
            return None
        raise
    return told if told.issuer else None


def sign_in(ask: Ask, at: SignInShown, owner: str | None, *, browser: bool) -> Redeemed:
    """Who signs in in a browser, with their token for the gateway. Raises Failed."""
    address = at.address or ""
    if not address.startswith(("https://", "http://")) or not address.isprintable():
        raise Failed("the gateway names no address for browsers")
    verifier, state = new_verifier(), new_verifier()
    told = {"challenge": challenge_of(verifier), "state": state, "machine": socket.gethostname()[:64]}
    told |= {"owner": owner} if owner else {}
    code = _by_browser(address, told) if browser and _has_browser() else _by_hand(address, told)
    redeemed = Redemption(code=code, verifier=verifier, name=f"login on {told['machine']}")
    return ask(Redeemed, "POST", "/signin/token", redeemed)


def _by_browser(address: str, told: dict[str, str]) -> str:
    """The code that a browser of this machine brings. Raises Failed."""
    import webbrowser

    with _listening(told["state"]) as (port, brought):
        door = _say(address, {**told, "port": str(port)})
        webbrowser.open(door)
        try:
            found = brought.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            raise Failed(f"nobody signed in within {PATIENCE_SECONDS / 60:.0f} minutes; run it again") from None
    if not found.code:
        raise Failed(clean(found.error)[:500] or "the browser brought no code; run it again")
    return found.code


def _by_hand(address: str, told: dict[str, str]) -> str:
    """The code that a person copies from a browser of any machine. Raises Failed."""
    _say(address, told)
    print("The code that it shows then: ", end="", file=sys.stderr, flush=True)
    code = sys.stdin.readline(LONGEST_CODE).strip()
    if not code:
        raise Failed("no code was given; run it again and paste the code that the browser shows")
    return code


def _say(address: str, told: dict[str, str]) -> str:
    """Tell the person where to sign in; that address."""
    door = f"{address.rstrip('/')}/signin?{urlencode(told)}"
    mark = mark_of(told["challenge"])
    print(f"Sign in in a browser, and go on there only if it shows {mark}:\n\n  {door}\n", file=sys.stderr, flush=True)
    return door


def _has_browser() -> bool:
    return sys.platform == "darwin" or any(os.environ.get(name) for name in _SCREENS)


@contextmanager
def _listening(state: str) -> Iterator[tuple[int, queue.SimpleQueue[Brought]]]:
    """A port of this machine's own that a browser is sent back to, and what it brings, if it knows the state."""
    brought: queue.SimpleQueue[Brought] = queue.SimpleQueue()

    class Back(_Back):
        expected = state
        found = brought

    with ThreadingHTTPServer(("127.0.0.1", 0), Back) as server:
        Back.here = f"127.0.0.1:{server.server_port}"
        server.daemon_threads = True
        server.block_on_close = False  # a browser may hold connections on which it asks nothing
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port, brought
        finally:
            server.shutdown()


class _Back(BaseHTTPRequestHandler):
    """A browser that comes back."""

    expected: str
    here: str
    found: queue.SimpleQueue[Brought]
    timeout = PEER_SECONDS
    server_version, sys_version = "makima", ""

    def do_GET(self) -> None:
        """Take what it brings."""
        told = dict(parse_qsl(urlsplit(self.path).query))
        state = told.get("state", "").encode(errors="replace")
        if self.headers.get("Host") != self.here or not hmac.compare_digest(state, self.expected.encode()):
            self._show(404, "this is for a sign-in that `makima login` began, and not for what asks")
            return
        brought = Brought(told.get("code", "")[:LONGEST_CODE], told.get("error", ""))
        self._show(200, "back to the command line: it goes on there" if brought.code else brought.error)
        self.found.put(brought)

    def _show(self, status: int, words: str) -> None:
        page = f'<!doctype html><meta charset="utf-8"><title>makima</title><p>{html.escape(words[:500])}</p>'.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *_: object) -> None:
        """Say nothing: what it asks holds a code."""
