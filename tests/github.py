"""A local server that plays GitHub's REST interface for pull requests, on a Unix socket that the real `gh` talks to."""

from __future__ import annotations

import json
import os
import re
import shutil
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests import forge_branches
from tests.programs import program


class GitHub:
    """One repository's pull requests, everything that was asked, and answers to give instead."""

    def __init__(self, folder: Path, path: str = "acme/shop") -> None:
        program("gh")
        self.path = path
        self.asked: list[tuple[str, str, Any]] = []
        """(method, path with query, body) in order."""
        self.pulls: list[dict[str, Any]] = []
        self.labels: list[tuple[int, Any]] = []
        self.instead: list[tuple[str, int, dict[str, str], dict[str, Any]]] = []
        """(method, status, headers, body): each given once, to the next request of that method."""
        self.remote: Path | None = None
        """The bare repository behind it."""
        self.socket = folder / "gh.sock"
        self.config = folder / "gh"
        self.config.mkdir()
        (self.config / "config.yml").write_text(f"http_unix_socket: {self.socket}\n")
        self._server: socketserver.BaseServer | None = None

    def environment(self, remote: Path) -> dict[str, str]:
        """What sends gh to this server, and git's github.com to a local repository; git knows who commits."""
        self.remote = remote
        config = self.config / "gitconfig"
        person = "[user]\n\tname = Somebody\n\temail = somebody@example.com\n"
        config.write_text(f'{person}[url "{remote}"]\n\tinsteadOf = https://github.com/{self.path}\n')
        return {"GH_CONFIG_DIR": str(self.config), "GH_TOKEN": "anything", "GIT_CONFIG_GLOBAL": str(config)}

    @property
    def url(self) -> str:
        """The repository's address."""
        return f"https://github.com/{self.path}"

    def requests(self, method: str) -> list[tuple[str, Any]]:
        """What was asked by a method."""
        return [(path, body) for m, path, body in self.asked if m == method]

    def start(self) -> None:
        """Answer."""
        self.socket.unlink(missing_ok=True)
        self._server = _Server(str(self.socket), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Be down."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self.socket.unlink(missing_ok=True)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, str], Any]:
        """The answer to a request."""
        for place, (wanted, status, headers, instead) in enumerate(self.instead):
            if wanted == method:
                del self.instead[place]
                return status, headers, instead
        self._look()
        parts = urlsplit(path)
        if parts.path == "/":
            return 200, {"X-Oauth-Scopes": "repo, read:org, gist"}, {}
        prefix = f"/repos/{self.path}"
        if not parts.path.startswith(prefix):
            return 404, {}, {"message": "Not Found"}
        rest = parts.path.removeprefix(prefix)
        if match := re.fullmatch(r"/issues/(\d+)/labels|/pulls/(\d+)/requested_reviewers", rest):
            self.labels.append((int(match[1] or match[2]), body))
            return 200, {}, []
        if rest == "/pulls" and method == "GET":
            head = parse_qs(parts.query)["head"][0].partition(":")[2]
            return 200, {}, [p for p in reversed(self.pulls) if p["head"]["ref"] == head]
        if rest == "/pulls" and method == "POST":
            return self._create(body)
        number = int(rest.rpartition("/")[2])
        pull = self.pulls[number - 1]
        if method == "PATCH":
            pull.update(body)
        etag = f'"{hash(json.dumps(pull, sort_keys=True))}"'
        return 200, {"ETag": etag}, pull

    def _create(self, body: Any) -> tuple[int, dict[str, str], Any]:
        if any(p["head"]["ref"] == body["head"] and p["state"] == "open" for p in self.pulls):
            errors = [{"message": f"A pull request already exists for acme:{body['head']}."}]
            return 422, {}, {"message": "Validation Failed", "errors": errors}
        number = len(self.pulls) + 1
        pull = {
            "number": number,
            "html_url": f"{self.url}/pull/{number}",
            "state": "open",
            "merged_at": None,
            "title": body["title"],
            "body": body["body"],
            "draft": body["draft"],
            "head": {"ref": body["head"], "repo": {"full_name": self.path}},
            "base": {"ref": body["base"]},
        }
        if self.remote is not None and forge_branches.commit_of(self.remote, body["head"]) is None:
            errors = [{"message": "head is invalid"}]
            return 422, {}, {"message": "Validation Failed", "errors": errors}
        self.pulls.append(pull)
        self._look()
        return 201, {}, pull

    def _look(self) -> None:
        """An open pull request is at its branch's commit; one whose branch is removed is closed."""
        for pull in self.pulls if self.remote is not None and self.remote.exists() else ():
            if pull["state"] == "open":
                commit = forge_branches.commit_of(self.remote, pull["head"]["ref"])  # type: ignore[arg-type]
                pull["head"]["sha"] = commit or pull["head"].get("sha")
                if commit is None:
                    pull["state"] = "closed"

    def end(self, number: int, state: str, how: forge_branches.How = "merge") -> None:
        """Merge or close a pull request, as a person does."""
        pull = self.pulls[number - 1]
        self._look()
        if state == "merged" and self.remote is not None and self.remote.exists():
            forge_branches.merge(self.remote, pull["head"]["ref"], pull["base"]["ref"], how)
        pull.update(state="closed", merged_at="2026-01-01T00:00:00Z" if state == "merged" else None)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked may be gone before the answer: nothing to say."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def get_request(self) -> tuple[Any, Any]:
        """A Unix socket's peer has no address; the handler wants one."""
        request, _ = super().get_request()
        return request, ("local", 0)


def whole_body(handler: BaseHTTPRequestHandler) -> bytes:
    """The body of a request, in one piece or in chunks: who answers before it has read it may break its pipe."""
    if handler.headers.get("Transfer-Encoding") != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    found = b""
    while size := int(handler.rfile.readline(), 16):
        found += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return found


def _handler(github: GitHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            data = whole_body(self)
            body = json.loads(data) if data else None
            github.asked.append((self.command, self.path, body))
            status, headers, answer = github.answer(self.command, self.path, body)
            if headers.get("ETag") and headers["ETag"] == self.headers.get("If-None-Match"):
                status, answer = 304, None
            data = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = _serve

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def github(folder: Path) -> Iterator[GitHub]:
    """A running one."""
    playing = GitHub(folder)
    playing.start()
    try:
        yield playing
    finally:
        playing.stop()


def short_folder(tmp_path: Path) -> Path:
    """A folder whose path is short enough for a socket."""
    folder = Path("/tmp") / f"mk-gh-{os.getpid()}-{abs(hash(tmp_path)) % 10**6}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
