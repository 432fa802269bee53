"""What a browser shows: plain pages that run nothing, load nothing, and can't be framed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape

from services.gateway.rows.signin import OwnMembership

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 3rem auto; padding: 0 1rem; color: #1b1b1f }
code { font: 15px ui-monospace, monospace; overflow-wrap: anywhere; user-select: all }
button { display: block; font: inherit; margin: .5rem 0; padding: .5rem 1rem; cursor: pointer }
@media (prefers-color-scheme: dark) { body { background: #16161a; color: #e6e6ea } }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


def headers(form_to: str = "") -> dict[str, str]:
    """Those of every page. `form_to` is where its form may lead."""
    policy = {
        "default-src": "'none'",
        "style-src": f"'sha256-{_STYLE_HASH}'",
        "form-action": form_to or "'none'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def said(words: str) -> bytes:
    """A page of one line."""
    return _page(f"<p>Nobody is signed in: {escape(words)}.</p>")


def confirming(name: str, machine: str, mark: str, known: str, owners: Sequence[OwnMembership]) -> bytes:
    """The page that asks whether a command line is to be signed in, as a member of which owner."""
    where = f" on {escape(machine)}" if machine else ""
    buttons = "".join(
        f'<button name="owner" value="{escape(one.owner)}">Sign in to {escape(one.owner)} as {one.role}</button>'
        for one in owners
    )
    return _page(
        f"<p>You are <b>{escape(name)}</b>. <code>makima login</code>{where} asks to act for you.</p>"
        f"<p>Go on only if you have just run it yourself, and it shows <code>{escape(mark)}</code>. Otherwise close"
        " this page: somebody else may have sent you here.</p>"
        f'<form method="post" action="/signin/confirm"><input type="hidden" name="known" value="{escape(known)}">'
        f"{buttons}</form>"
    )


def copying(code: str) -> bytes:
    """The page with a code to paste."""
    return _page(
        "<p>Paste this into the <code>makima login</code> that waits for it. It is good once, for five minutes, and"
        f" only there: give it to nobody.</p><p><code>{escape(code)}</code></p>"
    )


def _page(body: str) -> bytes:
    title = "Sign in to makima"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}</html>"
    ).encode()
