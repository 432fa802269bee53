"""A local server that plays a forge over HTTP: bare repositories by git's own backend, and git-lfs' batch API beside.

https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.github import whole_body
from tests.programs import program

MEDIA = "application/vnd.git-lfs+json"
PERSON, PASSWORD = "ada", "hunter2secret"
SIGNED_IN = "Basic " + base64.b64encode(f"{PERSON}:{PASSWORD}".encode()).decode()
Instead = Callable[[BaseHTTPRequestHandler], bool]
"""Answers a request in its own way; False: it is answered as usual."""


class LfsServer:
    """Repositories of one folder, and the large objects that each stores, for whoever shows the password."""

    def __init__(self, folder: Path) -> None:
        program("git-lfs")
        self.folder = folder
        self.objects: dict[str, bytes] = {}
        """By the sha256 of their contents."""
        self.asked: list[tuple[str, str]] = []
        """(method, path) of each request, in order."""
        self.signed_in: list[str] = []
        """What `Authorization` said, of each request that said something."""
        self.pushed_with: list[frozenset[str]] = []
        """The objects that were stored when each push of a branch came."""
        self.instead: Instead = lambda _: False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        """Of the server, without a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def url(self, name: str) -> str:
        """The address of a bare repository of the folder."""
        return f"{self.address}/{name}"

    def stop(self) -> None:
        """Be down."""
        self._server.shutdown()
        self._server.server_close()

    def account(self, folder: Path, *more: str) -> Path:
        """A git configuration that knows the password for this server alone, and who commits."""
        config = folder / "account.gitconfig"
        helper = f'!f() {{ test "$1" = get && echo username={PERSON} && echo password={PASSWORD}; }}; f'
        config.write_text(
            "[user]\n\tname = Ada\n\temail = ada@example.org\n"
            f'[credential "{self.address}"]\n\thelper = "{_escaped(helper)}"\n' + "\n".join(more)
        )
        return config

    def uploads(self) -> list[str]:
        """The objects that were uploaded, in order."""
        return [path.rpartition("/")[2] for method, path in self.asked if method == "PUT"]

    def batch(self, base: str, asked: Any) -> dict[str, Any]:
        """The answer to a batch request: where each object is had, or put that isn't there."""
        return {"transfer": "basic", "objects": [self._one(base, asked["operation"], one) for one in asked["objects"]]}

    def _one(self, base: str, operation: str, one: dict[str, Any]) -> dict[str, Any]:
        there = len(self.objects.get(one["oid"], b"")) == one["size"] and one["oid"] in self.objects
        action = {"href": f"{base}/objects/{one['oid']}", "header": {"Authorization": SIGNED_IN}}
        if operation == "download":
            more: Any = {"actions": {"download": action}} if there else {"error": {"code": 404, "message": "not here"}}
        else:
            more = {} if there else {"actions": {"upload": action}}
        return {**one, **more}


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _handler(server: LfsServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            server.asked.append((self.command, self.path))
            if said := self.headers.get("Authorization"):
                server.signed_in.append(said)
            if server.instead(self):
                return
            body = whole_body(self)
            if said != SIGNED_IN:
                self.answer(401, b"", **{"WWW-Authenticate": 'Basic realm="x"', "LFS-Authenticate": 'Basic realm="x"'})
            elif "/info/lfs/" in self.path:
                self._lfs(body)
            else:
                self._git(body)

        do_GET = do_POST = do_PUT = _serve

        def _lfs(self, body: bytes) -> None:
            base, _, rest = self.path.partition("/objects/")
            if rest == "batch":
                answer = server.batch(f"{server.address}{base}", json.loads(body))
                self.answer(200, json.dumps(answer).encode(), **{"Content-Type": MEDIA})
            elif self.command == "PUT":
                fits = hashlib.sha256(body).hexdigest() == rest
                if fits:
                    server.objects[rest] = body
                self.answer(200 if fits else 422, b"")
            elif rest in server.objects:
                self.answer(200, server.objects[rest])
            else:
                self.answer(404, json.dumps({"message": "not here"}).encode(), **{"Content-Type": MEDIA})

        def _git(self, body: bytes) -> None:
            if self.path.endswith("/git-receive-pack"):
                server.pushed_with.append(frozenset(server.objects))
            parts = urlsplit(self.path)
            environment = {
                **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
                "GIT_PROJECT_ROOT": str(server.folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_USER": PERSON,
                "REQUEST_METHOD": self.command,
                "PATH_INFO": unquote(parts.path),
                "QUERY_STRING": parts.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            }
            argv = ("git", "-c", "safe.directory=*", "-c", "http.receivepack=true", "http-backend")
            said = subprocess.run(argv, input=body, env=environment, capture_output=True, check=False).stdout
            head, _, rest = said.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
            self.answer(int(headers.pop("Status", "200").split()[0]), rest, **headers)

        def answer(self, status: int, data: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def lfs_server(folder: Path) -> Iterator[LfsServer]:
    """A running one."""
    playing = LfsServer(folder)
    try:
        yield playing
    finally:
        playing.stop()
