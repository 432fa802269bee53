"""Requests to the gateway, and their errors as one line."""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from shared.places import cluster_file, home_of

if TYPE_CHECKING:
    from shared.api.events import EventShown
    from shared.running import Running

A = TypeVar("A")
PATIENCE_SECONDS = 30.0
"""How long an agent waits for a gateway that is being started again. A person is told at once."""
ANSWER_SECONDS = 60.0
LONGEST_SOCKET_PATH = 100
"""Characters of a unix socket's path; the kernel's limit is 107."""
SILENCE_SECONDS = 60.0
"""A stream says something every 15 s; one silent for longer is dead."""


class Failed(Exception):
    """What went wrong, in one line with the fix. `status` is the answer's, 0 when there was none."""

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status


class StreamBroke(Exception):
    """A live stream ended before its time; it may be asked for again from where it was."""


def home() -> Path:
    """The home of this machine's cluster."""
    return home_of(os.environ)


def address() -> str:
    """The gateway's address: as the environment says, else the socket that only this home's cluster can listen on.

    No port is ever guessed: with the cluster down anybody may listen there, and would be told the token. Raises Failed.
    """
    return os.environ.get("MAKIMA_API_URL") or f"unix://{_socket()}"


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
    lost = 0
    while True:
        connection = _connection(within_seconds)
        try:
            connection.request(method, path, told, {**_headers(), **headers})
            answer = connection.getresponse()
            text = answer.read()
        except (ConnectionResetError, http.client.HTTPException, OSError) as error:
            lost += isinstance(error, ConnectionResetError | http.client.HTTPException)
            if lost != 1 and time.monotonic() > deadline:
                raise _unreachable(error) from None
            time.sleep(0.1)
            continue
        finally:
            connection.close()
        if answer.status == 503 and time.monotonic() < deadline:
            time.sleep(0.5)
            continue
        if answer.status >= 400:
            raise _refused(answer.status, text)
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
    connection = _connection(SILENCE_SECONDS)
    headers = {**_headers(), "Accept": "text/event-stream"}
    if after is not None:
        headers["Last-Event-ID"] = str(after)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise _unreachable(error) from None
    if answer.status >= 400:
        raise _refused(answer.status, answer.read())
    return _events(connection, answer)


def _events(connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> Iterator[EventShown]:
    from shared.api.events import EventShown

    try:
        for line in answer:
            if line.startswith(b"data: ") and len(line) > len(b"data: {}\n"):
                yield _decoded(line[6:], EventShown)
    except (OSError, http.client.HTTPException, ValueError):
        pass  # told below: however it ended, it ended before its time
    finally:
        connection.close()
    raise StreamBroke


def _connection(timeout_seconds: float) -> http.client.HTTPConnection:
    url = urlsplit(address())
    if url.scheme == "unix":
        return _Unix(address().removeprefix("unix://"), timeout_seconds)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise Failed(f"{address()} is no address: MAKIMA_API_URL is http://HOST:PORT, https://HOST or unix:///PATH")
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    try:
        return kind(url.hostname, url.port, timeout=timeout_seconds)
    except ValueError as error:
        raise Failed(f"{address()} is no address ({error}); see MAKIMA_API_URL") from None


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


def _headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {_token()}", "Content-Type": "application/json"}


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


def _unreachable(error: Exception) -> Failed:
    if "MAKIMA_API_URL" not in os.environ and supervisor() is None:
        return Failed(none_runs())
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return Failed(f"no gateway answers at {address()} ({why}); `makima up` starts one")


def _refused(status: int, text: bytes) -> Failed:
    try:
        words = str(json.loads(text)["detail"]).replace("\n", " ")
    except (ValueError, KeyError, TypeError):
        words = f"the gateway answered {status}"
    return Failed(words, status)


def _token() -> str:
    if token := os.environ.get("MAKIMA_TOKEN"):
        return token
    try:
        return (home() / "token").read_text().strip()
    except OSError:
        if "MAKIMA_API_URL" not in os.environ and supervisor() is None:
            raise Failed(none_runs()) from None
        raise Failed(f"no token in {home()}; `makima up` makes one, or set MAKIMA_HOME or MAKIMA_TOKEN") from None
