"""`makima login` and `logout`: a gateway that this account uses by a token, checked before it is kept."""

from __future__ import annotations

import argparse
import getpass
import http.client
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from cli import completing
from cli.client import Failed, connected, headers_for, read, refused, unreachable
from cli.command import Arguments, declare, print_json, say
from cli.contexts import FILE, NOWHERE, Context, changing, checked, forget_token, keep_token, load
from cli.gateways import LOCAL, Gateway, refuse_plain_http
from cli.text import clean

PATIENCE_SECONDS = 20.0
"""For all of an answer: whoever is at an address may be no gateway, and never end."""
MOST_BYTES = 1 << 20
LONGEST_TOKEN = 8192
A = TypeVar("A")
_NO_GATEWAY = "whoever answers at {} is no makima gateway: its answer can't be read"
_TOKEN = re.compile(r"[!-~]+", re.ASCII)


def login(command: argparse.ArgumentParser) -> None:
    """Declare `login`."""
    declare(
        command,
        _login,
        "makima login https://build.example.org:8420",
        "makima login https://build.example.org:8420 --no-browser",
        "makima login https://build.example.org:8420 --name build --ca authority.pem < token",
    )
    command.add_argument("url", metavar="URL", help="the gateway's address: https://HOST or https://HOST:PORT")
    ways = command.add_mutually_exclusive_group()
    ways.add_argument(
        "--token-file",
        metavar="FILE",
        help="where the token stands; else standard input, a browser, or you are asked",
    )
    ways.add_argument(
        "--browser",
        action=argparse.BooleanOptionalAction,
        help="sign in in a browser; or in one of any other machine, and paste the code that it shows",
    )
    command.add_argument("--name", help="what to call the context; the host's name by default")
    command.add_argument(
        "--ca", type=Path, metavar="FILE", help="the authority of its certificate (PEM), if it is your own"
    )
    command.add_argument(
        "--plain-http", action="store_true", help="take http:// of another machine, where others can read the token"
    )


def logout(command: argparse.ArgumentParser) -> None:
    """Declare `logout`."""
    declare(command, _logout, "makima logout", "makima logout build")
    name = command.add_argument("name", nargs="?", metavar="CONTEXT", help="which; else the one in use")
    name.completer = completing.contexts()  # type: ignore[attr-defined]


def _login(arguments: Arguments) -> int:
    if "MAKIMA_TASK_ID" in os.environ:
        raise Failed("inside a task makima asks for the task, by its own token: nobody logs in there")
    address = _address(arguments.url, arguments.plain_http)
    name = checked(arguments.name or urlsplit(address).hostname)
    if (known := load().known.get(name)) is not None and known.address != address:
        raise Failed(f"the context {name} is another gateway, {known.address}; choose another --name, or remove it")
    gateway = Gateway(address, authority=_authority(arguments.ca))
    token = _token(arguments, gateway)
    person = _person(gateway, token)
    with changing() as contexts:
        keeps = keep_token(name, address, token)
        contexts.known[name] = Context(address, keeps, person, gateway.authority)
        contexts.used = name
    if arguments.output == "json":
        return print_json({"context": name, "address": address, "person": person, "token": keeps})
    where = "a file of yours alone" if keeps == FILE else "the keyring"
    return say(f"logged in to {address}{f' as {person}' if person else ''}: context {name}, its token in {where}")


def _logout(arguments: Arguments) -> int:
    with changing() as contexts:
        name = arguments.name or os.environ.get("MAKIMA_CONTEXT") or contexts.used
        if name == LOCAL:
            raise Failed("no context is in use: nothing to log out of; `makima context list` lists them")
        context = contexts.named(name)
        forget_token(name, context)
        contexts.known[name] = Context(context.address, NOWHERE, context.person, context.authority)
        if contexts.used == name:
            contexts.used = LOCAL
    return say(f"logged out of {context.address}: its token is forgotten here; an admin there can revoke it")


def _address(url: str, plain_http: bool) -> str:
    """The address of a gateway, and nothing besides. Raises Failed."""
    text = url if "://" in url else f"https://{url}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    whole = "@" not in text and parts.path in ("", "/") and not parts.query and not parts.fragment if host else False
    if not whole or parts.scheme not in ("http", "https") or not re.fullmatch(r"[a-z0-9._:-]+", host, re.ASCII):
        raise Failed("that is no address of a gateway: say https://HOST or https://HOST:PORT, and nothing after it")
    address = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
    refuse_plain_http(address, plain_http, "say --plain-http")
    return address


def _authority(file: Path | None) -> str:
    """The certificates of a file, as PEM. Raises Failed."""
    import ssl

    if file is None:
        return ""
    try:
        text = file.read_text(encoding="ascii")
        ssl.create_default_context(cadata=text)
    except (OSError, ValueError, ssl.SSLError) as error:
        why = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError | ValueError) else error.strerror
        raise Failed(f"--ca {clean(file)} can't be read: {why}") from None
    return text


def _token(arguments: Arguments, gateway: Gateway) -> str:
    """The token: from a file, standard input, a browser, or a person, who doesn't see it. Raises Failed."""
    file = arguments.token_file
    if file not in (None, "-"):
        try:
            with Path(file).open(encoding="ascii") as opened:
                token = opened.read(LONGEST_TOKEN + 1)
        except (OSError, ValueError) as error:
            raise Failed(
                f"{clean(file)} can't be read: {getattr(error, 'strerror', None) or 'it is no text'}"
            ) from None
    elif arguments.browser is not None:
        token = _by_browser(arguments, gateway)
        if not token:
            raise Failed(f"nobody signs in at {gateway.address} in a browser; log in with a token that an admin makes")
    elif file is None and sys.stdin.isatty():
        token = _by_browser(arguments, gateway) or getpass.getpass("Token: ")
    else:
        token = sys.stdin.read(LONGEST_TOKEN + 1)
    token = token.strip()
    if not _TOKEN.fullmatch(token) or len(token) > LONGEST_TOKEN:
        where = clean(file) if file else "standard input"
        raise Failed(f"{where} holds no token: one word of printable characters; `makima token create` makes one")
    return token


def _by_browser(arguments: Arguments, gateway: Gateway) -> str:
    """The token of whoever signs in in a browser; empty where the gateway takes nobody so. Raises Failed."""
    import msgspec

    from cli.signing_in import provider, sign_in

    def ask(shape: type[A], method: str, path: str, body: object = None) -> A:
        status, text = _asked(gateway, path, None, method, msgspec.json.encode(body) if body is not None else None)
        if status >= 300:
            raise refused(gateway, status, text)
        try:
            return msgspec.json.decode(text, type=shape)
        except (msgspec.MsgspecError, RecursionError):
            raise Failed(_NO_GATEWAY.format(gateway.address)) from None

    if (told := provider(ask)) is None:
        return ""
    return sign_in(ask, told, arguments.owner, browser=arguments.browser is not False).token


def _person(gateway: Gateway, token: str) -> str:
    """Who the gateway says that the token is, in words. Raises Failed."""
    status, text = _asked(gateway, "/v1/me", token)
    if status >= 300:
        raise refused(gateway, status, text)
    try:
        told: dict[str, Any] = json.loads(text)
        person, role, owner = (clean(told.get(key) or "")[:100] for key in ("person", "role", "owner"))
    except (ValueError, AttributeError, RecursionError):
        raise Failed(_NO_GATEWAY.format(gateway.address)) from None
    return f"{person or 'nobody in particular'}, {role} in {owner}" if role and owner else person


def _asked(
    gateway: Gateway, path: str, token: str | None, method: str = "GET", body: bytes | None = None
) -> tuple[int, bytes]:
    """The status and the body of an answer, which come within their time. Raises Failed."""
    connection = connected(gateway, PATIENCE_SECONDS)
    try:
        with _within(PATIENCE_SECONDS):
            connection.request(method, path, body, headers_for(token))
            answer = connection.getresponse()
            return answer.status, read(answer, MOST_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise unreachable(gateway._replace(context="new"), error) from None
    finally:
        connection.close()


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in what takes longer, however much of it comes meanwhile."""

    def over(*_: object) -> None:
        raise TimeoutError(f"no whole answer within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
