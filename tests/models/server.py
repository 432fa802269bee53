"""The HTTP server under a scripted model: one thread a request, on a free port of this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from tests.models.script import Answer, Break, Conversation, Fail, Hang, Refuse, Script


class Dialect(Protocol):
    """How a model's API reads a conversation, and writes an answer."""

    def conversation(self, path: str, body: dict[str, Any]) -> Conversation | None:
        """What is asked; None for a request that is no turn of the agent."""

    def stream(self, body: dict[str, Any], answer: Answer) -> list[tuple[str, dict[str, Any]]]:
        """The answer as server-sent events."""

    def whole(self, body: dict[str, Any], answer: Answer) -> dict[str, Any]:
        """The answer in one piece, where it was asked for like that."""

    def other(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to any other request."""

    def error(self, refusal: Refuse) -> dict[str, Any]:
        """The body of a refusal."""


class Model:
    """A running model. `asked` are the conversations in order; `script` may be replaced at any time."""

    def __init__(self, url: str, script: Script) -> None:
        self.url = url
        self.script = script
        self.asked: list[Conversation] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        """Of the requests that `paths` names, by small letters."""
        self.released = threading.Event()


@contextmanager
def serve(protocol: Dialect, script: Script, host: str = "127.0.0.1") -> Iterator[Model]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._json(200, protocol.other(self.path, {}))

        def do_HEAD(self) -> None:
            self._json(200, {})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
            model.paths.append(self.path)
            model.headers.append({name.lower(): value for name, value in self.headers.items()})
            conversation = protocol.conversation(self.path, body)
            if conversation is None:
                self._json(200, protocol.other(self.path, body))
                return
            model.asked.append(conversation)
            answer = model.script(conversation)
            if isinstance(answer, Refuse):
                self._json(answer.status, protocol.error(answer), answer.headers)
            elif isinstance(answer, Hang):
                model.released.wait()
                self.close_connection = True
            elif body.get("stream"):
                self._stream(protocol.stream(body, answer), breaks=isinstance(answer, Break))
            elif isinstance(answer, Fail):
                self._json(500, protocol.error(Refuse(500, answer.kind, answer.message)))
            elif isinstance(answer, Break):
                self.close_connection = True
            else:
                self._json(200, protocol.whole(body, answer))

        def _json(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"content-type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _stream(self, events: list[tuple[str, dict[str, Any]]], breaks: bool) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            for name, event in events[: len(events) // 2] if breaks else events:
                self.wfile.write(f"event: {name}\ndata: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    model = Model(f"http://{host}:{server.server_address[1]}", script)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        model.released.set()
        server.shutdown()
        server.server_close()
