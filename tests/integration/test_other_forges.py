"""GitLab by its push options, Gitea by its HTTP interface: each played by a local server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from services.daemon.workspaces import WorkspaceFailed
from shared.domain.delivery import Delivered, PullRequest, Seen
from shared.domain.descriptions import BEGIN, END
from shared.domain.forge import Forge
from tests.workshop import Workshop, pull_request, sh, write

pytestmark = pytest.mark.anyio
LAB = Forge(kind="gitlab", host="gitlab.com", path="acme/shop")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    shop = Workshop(tmp_path, {"a.txt": "a\n"})
    shop.step("one", write("one.txt", "1\n"))
    return shop


async def test_gitlab_makes_the_merge_request_as_it_is_pushed_to_and_names_it(shop: Workshop, tmp_path: Path) -> None:
    sh(shop.remote, "git", "config", "receive.advertisePushOptions", "true")
    shop.hook(
        "post-receive",
        f"env | grep ^GIT_PUSH_OPTION_ | sort >{tmp_path}/options\n"
        "echo 'View merge request for x:'\necho '  https://gitlab.com/acme/shop/-/merge_requests/4'",
    )
    wanted = PullRequest(title="A `job`; $(x)\n--now", body="b", draft=True, labels=("night",))
    result = await shop.deliver(forge=LAB, pull_request=wanted)
    assert isinstance(result, Delivered) and result.pr_url == "https://gitlab.com/acme/shop/-/merge_requests/4"
    told = (tmp_path / "options").read_text().splitlines()
    assert [line.partition("=")[2] for line in told if not line.startswith("GIT_PUSH_OPTION_COUNT")] == [
        "merge_request.create",
        "merge_request.target=main",
        "merge_request.title=A `job`; $(x) --now",
        "merge_request.draft",
        "merge_request.label=night",
    ]


class Tea:
    """Plays Gitea's interface for the pull requests of acme/shop."""

    def __init__(self) -> None:
        self.pulls: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str, Any, str | None]] = []
        self.instead: list[int] = []
        tea = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                tea.asked.append((self.command, self.path, body, self.headers.get("Authorization")))
                status, answer = tea.answer(self.command, self.path, body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = _serve

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.forge = Forge(kind="gitea", host=f"127.0.0.1:{self.server.server_port}", path="acme/shop", scheme="http")

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        assert path.startswith("/api/v1/repos/acme/shop/pulls")
        if self.instead:
            return self.instead.pop(0), {"message": "no"}
        if method == "GET" and "?" in path:
            return 200, self.pulls
        if method == "POST":
            number = len(self.pulls) + 1
            pull = {"number": number, "state": "open", "merged": False, "title": body["title"], "body": body["body"]}
            self.pulls.append({**pull, "html_url": self.forge.pull_request_url(number), "head": {"ref": body["head"]}})
            return 201, self.pulls[-1]
        pull = self.pulls[int(path.rpartition("/")[2]) - 1]
        if method == "PATCH":
            pull.update(body)
        return 200, pull


@pytest.fixture
def tea(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tea]:
    monkeypatch.setenv("GITEA_TOKEN", "anything")
    playing = Tea()
    yield playing
    playing.server.shutdown()
    playing.server.server_close()


async def test_gitea_gets_one_pull_request_which_is_refreshed_and_watched(shop: Workshop, tea: Tea) -> None:
    tea.instead = [503]
    first = await shop.deliver(forge=tea.forge, pull_request=pull_request(body="first"))
    assert isinstance(first, Delivered) and first.pr_url == tea.forge.pull_request_url(1)
    shop.step("two", write("two.txt", "2\n"))
    await shop.deliver(forge=tea.forge, pull_request=pull_request(body="second"))
    assert [p["body"] for p in tea.pulls] == [f"{BEGIN}\nsecond\n{END}\n"]
    assert {token for *_, token in tea.asked} == {"token anything"}
    tea.pulls[0].update(state="closed", merged=True)
    seen = await shop.deliver(action="watch", forge=tea.forge, pr_url=first.pr_url)
    assert seen == Seen(state="merged")


async def test_gitea_that_refuses_is_said_with_the_mend(shop: Workshop, tea: Tea) -> None:
    tea.instead = [401]
    with pytest.raises(WorkspaceFailed, match=r"refuses the daemon's account \(401\): no; give the daemon a token"):
        await shop.deliver(forge=tea.forge, pull_request=pull_request())
