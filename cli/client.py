"""Requests to the gateway, and their errors as one line."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from cli.failing import Failed as Failed
from cli.gateways import Gateway, chosen, none_runs, supervisor, token_for
from shared.domain.names import OWNER_NAME

if TYPE_CHECKING:
    from shared.api.events import EventShown

A = TypeVar("A")
PATIENCE_SECONDS = 30.0
"""How long an agent waits for a gateway that is being started again. A person is told at once."""
ANSWER_SECONDS = 60.0
LONGEST_SOCKET_PATH = 100
"""Characters of a unix socket's path; the kernel's limit is 107."""
LONGEST_REFUSAL = 2000
"""Characters of what a gateway says of what it refuses."""
MOST_BYTES = 256 << 20
"""Of an answer, or of a line of a stream: more is none of a gateway's."""
SILENCE_SECONDS = 60.0
"""A stream says something every 15 s; one silent for longer is dead."""


_acting_in: dict[str, str] = {}
"""The header that says in which owner the cluster's administrator acts."""


class StreamBroke(Exception):
    """A live stream ended before its time; it may be asked for again from where it was."""


def call(method: str, path: str, body: object = None, within_seconds: float = ANSWER_SECONDS) -> Any:  # noqa: ANN401
    """The answer to a request, decoded. Raises Failed."""
    text, _ = _answered(method, path, body, within_seconds)
    return json.loads(text) if text else None


def ask(shape: type[A], method: str, path: str, body: object = None, within_seconds: float = ANSWER_SECONDS) -> A:
    """The answer to a request, in its shape. Raises Failed."""
    text, _ = _answered(method, path, body, within_seconds)
    return _decoded(text, shape)


def pages(shape: type[A], path: str) -> Iterator[A]:
    """All of a list, page by page as its links lead. Raises Failed."""
    following: str | None = path
    while following is not None:
        text, link = _answered("GET", following, None, ANSWER_SECONDS)
        yield from _decoded(text, list[shape])  # type: ignore[valid-type]
        following = link.partition(">")[0].removeprefix("<") if link else None


def _decoded(text: bytes, shape: type[A]) -> A:
    import msgspec

    try:
        return msgspec.json.decode(text, type=shape)
    except msgspec.MsgspecError as error:
        raise Failed(f"the gateway's answer can't be read ({error}): is it of another version?") from None


def _answered(method: str, path: str, body: object, within_seconds: float) -> tuple[bytes, str | None]:
    """The answer to a request and where it goes on, if it does. Raises Failed.

    A change carries an Idempotency-Key, so it may be asked again when its answer got lost: it is done once.
    """
    headers = {"Idempotency-Key": str(uuid.uuid4())} if method != "GET" else {}
    told = _encoded(_masked(body)) if body is not None else None
    deadline = time.monotonic() + (PATIENCE_SECONDS if "MAKIMA_TASK_ID" in os.environ else 0)
    lost, gateway = 0, chosen()
    while True:
        connection = connected(gateway, within_seconds)
        try:
            connection.request(method, path, told, {**headers_for(token_for(gateway)), **headers})
            answer = connection.getresponse()
            text = read(answer, MOST_BYTES)
        except (ConnectionResetError, http.client.HTTPException, OSError) as error:
            lost += isinstance(error, ConnectionResetError | http.client.HTTPException)
            if lost != 1 and time.monotonic() > deadline:
                raise unreachable(gateway, error) from None
            time.sleep(0.1)
            continue
        finally:
            connection.close()
        if answer.status == 503 and time.monotonic() < deadline:
            time.sleep(0.5)
            continue
        if answer.status >= 300:
            raise refused(gateway, answer.status, text)
        return text, answer.headers.get("Link")


def _encoded(body: object) -> bytes:
    import msgspec

    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        raise  # said where the command ends, as of any other text
    except (ValueError, OverflowError):
        raise Failed("a number is too large for anything; leave it out") from None


def _masked(body: object) -> object:
    """What an agent says, without the secrets of its environment; a person's words stay as they are."""
    if "MAKIMA_TASK_ID" not in os.environ:
        return body
    from shared.domain.masking import Mask, secrets

    return Mask(secrets(os.environ)).struct(body)


def open_stream(path: str, after: int | None) -> Iterator[EventShown]:
    """Live events from now on (from after a number on). Raises Failed.

    The iterator raises StreamBroke when the stream ends, which it does only before its time.
    """
    gateway = chosen()
    connection = connected(gateway, SILENCE_SECONDS)
    headers = {**headers_for(token_for(gateway)), "Accept": "text/event-stream"}
    if after is not None:
        headers["Last-Event-ID"] = str(after)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise unreachable(gateway, error) from None
    if answer.status >= 300:
        raise refused(gateway, answer.status, read(answer, MOST_BYTES))
    return _events(connection, answer)


def _events(connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> Iterator[EventShown]:
    from shared.api.events import EventShown

    try:
        while (line := answer.readline(MOST_BYTES)).endswith(b"\n"):
            if line.startswith(b"data: ") and len(line) > len(b"data: {}\n"):
                yield _decoded(line[6:], EventShown)
    except (OSError, http.client.HTTPException, ValueError):
        pass  # told below: however it ended, it ended before its time
    finally:
        connection.close()
    raise StreamBroke


def connected(gateway: Gateway, timeout_seconds: float) -> http.client.HTTPConnection:
    """A connection to a gateway, which it is to be asked over. Raises Failed."""
    address = gateway.address
    url = urlsplit(address)
    if url.scheme == "unix":
        return _Unix(address.removeprefix("unix://"), timeout_seconds)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise Failed(f"{address} is no address: MAKIMA_API_URL is http://HOST:PORT, https://HOST or unix:///PATH")
    try:
        if url.scheme == "http":
            return http.client.HTTPConnection(url.hostname, url.port, timeout=timeout_seconds)
        import ssl  # a container that agents run in may have no library for it, and needs none

        context = ssl.create_default_context(cadata=gateway.authority or None)
        return http.client.HTTPSConnection(url.hostname, url.port, timeout=timeout_seconds, context=context)
    except (ValueError, OSError) as error:
        raise Failed(f"{address} is no address ({error}); see MAKIMA_API_URL") from None


def read(answer: http.client.HTTPResponse, most_bytes: int) -> bytes:
    """An answer's body. Raises HTTPException when it is longer than that."""
    text = answer.read(most_bytes + 1)
    if len(text) > most_bytes:
        raise http.client.HTTPException(f"its answer is longer than {most_bytes >> 20} MiB")
    return text


class _Unix(http.client.HTTPConnection):
    """A connection to a unix socket."""

    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        path = self._path
        if len(path) > LONGEST_SOCKET_PATH:
            from shared.config.sockets import to_connect

            path = str(to_connect(Path(path)))
        self.sock.connect(path)


def headers_for(token: str | None) -> dict[str, str]:
    """What every request says, and whose it is."""
    whose = {"Authorization": f"Bearer {token}"} if token else {}
    return {**whose, "Content-Type": "application/json", **_acting_in}


def act_in(owner: str) -> None:
    """Ask in this owner from now on, as the cluster's administrator may. Raises Failed for a name of none."""
    if not re.fullmatch(OWNER_NAME, owner, re.ASCII):
        raise Failed(f"no owner {owner!r}; `makima owner list` shows them")
    _acting_in["Makima-Owner"] = owner


def unreachable(gateway: Gateway, error: Exception) -> Failed:
    """That a gateway gave no answer, and why."""
    if not gateway.named and supervisor() is None:
        return Failed(none_runs())
    if (unproven := getattr(error, "verify_message", None)) is not None:
        return Failed(
            f"whoever answers at {gateway.address} doesn't prove to be it ({unproven}); a certificate of "
            "your own authority takes: makima login URL --ca FILE"
        )
    from cli.text import clean

    why = clean(getattr(error, "strerror", None) or str(error)[:LONGEST_REFUSAL].strip() or type(error).__name__)
    fix = "see whether it runs there" if gateway.context else "`makima up` starts one"
    return Failed(f"no gateway answers at {gateway.address} ({why}); {fix}")


def refused(gateway: Gateway, status: int, text: bytes) -> Failed:
    """What a gateway refused, in its words, of which nothing can move a terminal."""
    from cli.text import clean

    try:
        words = clean(str(json.loads(text)["detail"])[:LONGEST_REFUSAL])
    except (ValueError, KeyError, TypeError, RecursionError):
        words = f"the gateway answered {status}"
    if status < 400:
        words = f"{gateway.address} leads elsewhere ({status}), where no token is sent: give the gateway's own address"
    if status == 401 and gateway.context:
        words = f"{words}; `makima login {gateway.address} --name {gateway.context}` gives it another token"
    return Failed(words, status)
