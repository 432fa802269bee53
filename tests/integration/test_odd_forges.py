"""Whatever answers in the place of a forge, it becomes one line that names the forge, and costs little memory."""

from __future__ import annotations

import asyncio
import socketserver
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from services.daemon.forges import client as clients
from services.daemon.forges import github as by_gh
from services.daemon.forges import http
from services.daemon.forges.client import MAX_BYTES, Client, ForgeFailed, wait_seconds
from services.daemon.forges.gitea import Gitea
from services.daemon.forges.github import GitHub
from services.daemon.forges.gitlab import GitLab
from shared.domain.delivery import PullRequest
from shared.domain.forge import Forge
from tests.github import short_folder, whole_body

TOKEN = "a-token-that-stays-here"
PULL = PullRequest(title="t", body="b")


class Odd:
    """A server that gives one answer to everything, over a socket of either kind."""

    def __init__(self, at: Any) -> None:
        self.status, self.headers, self.parts = 200, {"Content-Type": "application/json"}, [b"[]"]
        self.pause = 0.0
        self.asked: list[tuple[str, str | None]] = []
        odd = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                whole_body(self)
                odd.asked.append((self.path, self.headers.get("Authorization")))
                self.send_response(odd.status)
                for name, value in odd.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    for part in odd.parts:
                        self.wfile.write(part)
                        time.sleep(odd.pause)
                except OSError:
                    pass  # nobody wants the rest

            do_GET = do_POST = do_PATCH = do_PUT = _serve

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

            def address_string(self) -> str:
                return "somebody"

        kind = socketserver.UnixStreamServer if isinstance(at, str) else socketserver.TCPServer
        server = type("Server", (socketserver.ThreadingMixIn, kind), {"daemon_threads": True, "block_on_close": False})
        self.server = server(at, Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, status: int, *parts: bytes, **headers: str) -> None:
        """From now on, answer so."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.status, self.headers, self.parts = status, {"Content-Type": "application/json", **named}, list(parts)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(params=["gitea", "gitlab", "github"])
def asked(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Odd, Client]]:
    """A forge of each kind, and who asks it: for GitHub the real gh."""
    monkeypatch.setenv("GITEA_TOKEN", TOKEN)
    if request.param == "github":
        folder = short_folder(tmp_path)
        (folder / "config.yml").write_text(f"http_unix_socket: {folder / 's'}\n")
        monkeypatch.setenv("GH_CONFIG_DIR", str(folder))
        monkeypatch.setenv("GH_TOKEN", TOKEN)
        odd = Odd(str(folder / "s"))
        client: Client = GitHub(Forge(kind="github", host="github.com", path="acme/shop"), tmp_path)
    else:
        odd = Odd(("127.0.0.1", 0))
        host = f"127.0.0.1:{odd.server.server_address[1]}"
        forge = Forge(kind=request.param, host=host, path="acme/shop", scheme="http")
        client = Gitea(forge, tmp_path) if request.param == "gitea" else GitLab(forge, TOKEN)
    yield odd, client
    odd.close()


QUESTIONS: list[Callable[[Client], Any]] = [
    lambda client: client.find("makima/x"),
    lambda client: client.create("makima/x", "main", PULL, "body"),
    lambda client: client.look(1, None),
]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><title>Sign in</title>",
        b"",
        b"[" * 100_000,
        b'{"number":1,"iid":1,"zz":' + b'{"a":' * 100_000,
        b'{"number":' + b"9" * 100 + b',"iid":1e400,"html_url":"u","web_url":"u","state":"open"}',
        b'{"number":"one","iid":"one","html_url":1,"web_url":2,"state":"elsewhere"}',
        b'[{"number":1e400,"iid":null}]',
        b"\xff\xfe\x00",
        b'"\\ud83d"',
    ],
)
async def test_what_no_forge_answers_is_said_in_one_line(
    asked: tuple[Odd, Client], question: Callable[[Client], Any], body: bytes
) -> None:
    odd, client = asked
    odd.answer(200, body)
    with pytest.raises(ForgeFailed) as failed:
        await question(client)
    said = str(failed.value)
    assert "unexpected answer (200)" in said and said.splitlines() == [said] and len(said) < 500
    assert said.startswith(client._forge.host)  # type: ignore[attr-defined]
    assert not failed.value.passing


@pytest.mark.parametrize("status", [401, 404, 422, 429, 500])
@pytest.mark.parametrize("body", [b"[" * 100_000, b"<html>", b'{"message":' + b"[" * 5000 + b"]" * 5000 + b"}"])
async def test_a_refusal_whose_words_cant_be_read_is_still_that_refusal(
    asked: tuple[Odd, Client], status: int, body: bytes
) -> None:
    odd, client = asked
    odd.answer(status, body)
    with pytest.raises(ForgeFailed) as failed:
        await client.find("makima/x")
    assert len(str(failed.value).splitlines()) == 1 and len(str(failed.value)) < 1000
    assert failed.value.passing == (status in (429, 500))


async def test_an_endless_answer_is_read_no_further_than_it_is_worth(asked: tuple[Odd, Client]) -> None:
    odd, client = asked
    odd.answer(200, b"[", *([b" " * (1 << 20)] * 400))
    tracemalloc.start()
    try:
        with pytest.raises(ForgeFailed, match=r"unexpected answer.*more than 16 MiB"):
            await client.find("makima/x")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * MAX_BYTES, "400 MiB were sent"


async def test_an_answer_that_trickles_is_waited_for_so_long_and_no_longer(
    asked: tuple[Odd, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd, client = asked
    for module in (http, by_gh):
        monkeypatch.setattr(module, "MAX_SECONDS", 1.0)
    odd.pause = 0.1
    odd.answer(200, *([b" "] * 600))
    began = time.monotonic()
    with pytest.raises(ForgeFailed, match="did not answer to the end within 1 s") as failed:
        await client.find("makima/x")
    assert failed.value.passing and time.monotonic() - began < 20


async def test_a_redirect_takes_the_token_nowhere(asked: tuple[Odd, Client]) -> None:
    odd, client = asked
    other = Odd(("127.0.0.1", 0))
    try:
        odd.answer(302, b"", Location=f"http://127.0.0.1:{other.server.server_address[1]}/elsewhere")
        with pytest.raises(ForgeFailed) as failed:
            await client.find("makima/x")
        assert len(str(failed.value).splitlines()) == 1
        assert odd.asked and not [token for _, token in other.asked if token and TOKEN in token]
    finally:
        other.close()


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        ("30", 30.0),
        ("1" * 18, clients.LONGEST_WAIT_SECONDS),
        ("9" * 400, None),
        ("1e20", None),
        ("²", None),
        ("-5", None),
    ],
)
def test_how_long_a_forge_may_ask_to_wait_has_an_end(after: str, seconds: float | None) -> None:
    assert wait_seconds({"retry-after": after}, now=0.0) == seconds
    if seconds != 30.0:
        assert wait_seconds({"x-ratelimit-reset": after}, now=0.0) == seconds


async def test_what_gh_prints_in_a_flood_of_its_own_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gh = tmp_path / "bin" / "gh"
    gh.parent.mkdir()
    gh.write_text(
        "#!/bin/sh\nhead -c 50000000 /dev/zero >&2\nprintf 'HTTP/2.0 200 OK\\n\\n'; head -c 50000000 /dev/zero\n"
    )
    gh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{gh.parent}:/usr/bin:/bin")
    client = GitHub(Forge(kind="github", host="github.com", path="acme/shop"), tmp_path)
    with pytest.raises(ForgeFailed, match=r"github\.com gave an unexpected answer: more than 16 MiB"):
        await asyncio.wait_for(client.find("makima/x"), 60)
