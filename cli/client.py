"""One HTTP request to the gateway, and its errors as one line."""

from __future__ import annotations

import http.client
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class Failed(Exception):
    """What went wrong, in one line with the mend."""


def home() -> Path:
    """The home of this machine's cluster."""
    if named := os.environ.get("MAKIMA_HOME"):
        return Path(named).expanduser().absolute()
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "makima"


def address() -> str:
    """The gateway's address."""
    return os.environ.get("MAKIMA_API_URL") or f"http://127.0.0.1:{os.environ.get('MAKIMA_PORT', '8420')}"


def call(method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
    """The answer to a request, decoded. Raises Failed."""
    url = urlsplit(address())
    connection = http.client.HTTPConnection(url.hostname or "127.0.0.1", url.port or 80, timeout=60)
    headers = {"Authorization": f"Bearer {_token()}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
    except OSError as error:
        raise Failed(f"no gateway answers at {address()} ({error}); `makima up` starts one") from None
    finally:
        connection.close()
    if answer.status >= 400:
        raise Failed(_words(text) or f"the gateway answered {answer.status}")
    return json.loads(text) if text else None


def _words(text: bytes) -> str:
    try:
        return str(json.loads(text)["detail"]).replace("\n", " ")
    except (ValueError, KeyError, TypeError):
        return ""


def _token() -> str:
    if token := os.environ.get("MAKIMA_TOKEN"):
        return token
    try:
        return (home() / "token").read_text().strip()
    except OSError:
        raise Failed(f"no token in {home()}; `makima up` makes one, or set MAKIMA_HOME or MAKIMA_TOKEN") from None
