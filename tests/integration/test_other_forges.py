"""GitLab by its REST interface, or without a token by push options; Gitea by its own: each played by a local server."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from services.daemon.delivery import delivering
from services.daemon.forges import gitea, gitlab
from services.daemon.workspaces.workspace import WorkspaceFailed
from shared.domain.delivery import Delivered, Nothing, PullRequest, Seen
from shared.domain.descriptions import BEGIN, END
from shared.domain.forge import Forge
from shared.failpoints import FailpointReached
from tests import forge_branches
from tests.delivery_harness import DeliveryHarness, pull_request, sh, write
from tests.sampled import sampled

pytestmark = pytest.mark.anyio
LAB = Forge(kind="gitlab", host="gitlab.com", path="acme/shop")


@pytest.fixture
def shop(tmp_path: Path) -> DeliveryHarness:
    shop = DeliveryHarness(tmp_path, {"a.txt": "a\n"})
    shop.step("one", write("one.txt", "1\n"))
    return shop


async def test_without_a_token_gitlab_makes_the_merge_request_as_it_is_pushed_to(
    shop: DeliveryHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITLAB_TOKEN", raising=False)
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


class Played(ABC):
    """A local server that plays a forge: keeps what was asked, and gives answers instead, once each."""

    def __init__(self, kind: str, path: str) -> None:
        self.pulls: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str, Any]] = []
        self.tokens: set[str | None] = set()
        self.instead: list[tuple[Callable[[str, str], bool], int, Any]] = []
        """(for which method and path, status, body)."""
        played = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                played.asked.append((self.command, self.path, body))
                played.tokens.add(self.headers.get("Authorization"))
                status, answer = played._first(self.command, self.path, body)
                data = json.dumps(answer).encode()
                etag = f'W/"{hash(data)}"'
                if status == 200 and self.headers.get("If-None-Match") == etag:
                    status, data = 304, b""
                self.send_response(status)
                if played.gives_etags:
                    self.send_header("ETag", etag)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_PUT = _serve

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        host = f"127.0.0.1:{self.server.server_port}"
        self.forge = Forge(kind=kind, host=host, path=path, scheme="http")  # type: ignore[arg-type]

    gives_etags = False

    def refuse(self, method: str, status: int, message: object = "no", ending: str = "") -> None:
        """Answer the next such request so."""
        self.instead.append((lambda m, path: m == method and path.endswith(ending), status, {"message": message}))

    def sent(self, method: str, ending: str = "") -> list[Any]:
        """The bodies of such requests."""
        return [body for m, path, body in self.asked if m == method and path.endswith(ending)]

    def _first(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        for one in self.instead:
            if one[0](method, path):
                self.instead.remove(one)
                return one[1], one[2]
        return self.answer(method, path, body)

    @abstractmethod
    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """The status and the body with which this kind of forge answers."""

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Tea(Played):
    """Gitea's interface for the pull requests of acme/shop."""

    def __init__(self) -> None:
        super().__init__("gitea", "acme/shop")
        self.labels = [{"id": 7, "name": "night"}]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        parts = urlsplit(path)
        assert parts.path.startswith("/api/v1/repos/acme/shop/")
        match method, parts.path.removeprefix("/api/v1/repos/acme/shop/").split("/"):
            case "GET", ["pulls"]:
                page, limit = (int(parse_qs(parts.query)[k][0]) for k in ("page", "limit"))
                return 200, self.pulls[::-1][(page - 1) * limit : page * limit]
            case "POST", ["pulls"]:
                number = len(self.pulls) + 1
                self.pulls.append({**self._pull(number, body["head"]), "title": body["title"], "body": body["body"]})
                return 201, self.pulls[-1]
            case "GET", ["labels"]:
                return 200, self.labels
            case "POST", ["labels"]:
                self.labels.append({"id": len(self.labels) + 7, "name": body["name"]})
                return 201, self.labels[-1]
            case "POST", ["issues", _, "labels"]:
                assert set(body["labels"]) <= {label["id"] for label in self.labels}
                return 200, []
            case "POST", ["pulls", _, "requested_reviewers"]:
                return 201, []
            case "PATCH", ["pulls", number]:
                self.pulls[int(number) - 1].update(body)
                return 200, self.pulls[int(number) - 1]
            case "GET", ["pulls", number]:
                return 200, self.pulls[int(number) - 1]
        return 404, {"message": "Not Found"}

    def _pull(self, number: int, head: str) -> dict[str, Any]:
        url = self.forge.pull_request_url(number)
        return {
            "number": number,
            "html_url": url,
            "state": "open",
            "merged": False,
            "head": {"ref": head, "repo_id": 1},
            "base": {"repo_id": 1},
        }

    def others(self, count: int) -> None:
        """Pull requests of other people."""
        self.pulls += [self._pull(len(self.pulls) + 1, f"theirs-{n}") for n in range(count)]


class Lab(Played):
    """GitLab's interface for the merge requests of a project in a subgroup, acme/tools/shop."""

    gives_etags = True

    def __init__(self) -> None:
        super().__init__("gitlab", "acme/tools/shop")

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        parts = urlsplit(path)
        asked = {k: v[0] for k, v in parse_qs(parts.query).items()}
        match method, [unquote(part) for part in parts.path.removeprefix("/api/v4/").split("/")]:
            case "GET", ["users"]:
                return 200, [{"id": 40 + len(asked["username"]), "username": asked["username"]}]
            case "GET", ["projects", "acme/tools/shop", "merge_requests"]:
                assert asked["state"] == "all" and asked["sort"] == "desc"
                return 200, [p for p in reversed(self.pulls) if p["source_branch"] == asked["source_branch"]]
            case "POST", ["projects", "acme/tools/shop", "merge_requests"]:
                if any(p["source_branch"] == body["source_branch"] and p["state"] == "opened" for p in self.pulls):
                    return 409, {"message": ["Another open merge request already exists for this source branch: !1"]}
                number = len(self.pulls) + 1
                self.pulls.append(
                    {**body, "iid": number, "state": "opened", "web_url": self.forge.pull_request_url(number)}
                )
                return 201, self.pulls[-1]
            case "PUT", ["projects", "acme/tools/shop", "merge_requests", number]:
                self.pulls[int(number) - 1].update(body)
                return 200, self.pulls[int(number) - 1]
            case "GET", ["projects", "acme/tools/shop", "merge_requests", number]:
                return 200, self.pulls[int(number) - 1]
        return 404, {"error": "404 Project Not Found"}


@pytest.fixture
def tea(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tea]:
    monkeypatch.setenv("GITEA_TOKEN", "anything")
    playing = Tea()
    yield playing
    playing.close()


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("GITLAB_TOKEN", "anything")
    playing = Lab()
    yield playing
    playing.close()


@pytest.fixture(params=["gitea", "gitlab"])
def forge(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    """Each of them: what both must do."""
    monkeypatch.setenv("GITEA_TOKEN", "anything")
    monkeypatch.setenv("GITLAB_TOKEN", "anything")
    playing = Tea() if request.param == "gitea" else Lab()
    yield playing
    playing.close()


def body_of(forge: Played, number: int = 1) -> str:
    return str(forge.pulls[number - 1]["description" if isinstance(forge, Lab) else "body"])


def end(shop: DeliveryHarness, forge: Played, number: int, state: str, how: forge_branches.How = "merge") -> None:
    """Merge or close one, as a person does."""
    if state == "merged":
        pull = forge.pulls[number - 1]
        forge_branches.merge(
            shop.remote, pull["source_branch"] if isinstance(forge, Lab) else pull["head"]["ref"], "main", how
        )
    as_gitea = {"state": "closed", "merged": state == "merged"}
    forge.pulls[number - 1].update({"state": state} if isinstance(forge, Lab) else as_gitea)


WANTED = PullRequest(
    title="A `job`; $(x)\n--now", body="b", draft=True, labels=("night", "new one"), reviewers=("ada", "bob")
)


async def test_it_gets_one_pull_request_which_is_refreshed_and_watched(shop: DeliveryHarness, forge: Played) -> None:
    forge.refuse("GET", 503)
    first = await shop.deliver(forge=forge.forge, pull_request=pull_request(body="first"))
    assert isinstance(first, Delivered) and first.pr_url == forge.forge.pull_request_url(1)
    assert forge.pulls[0]["title"] == "A job"
    forge.pulls[0].update({"description" if isinstance(forge, Lab) else "body": f"Look!\n\n{body_of(forge)}"})
    shop.step("two", write("two.txt", "2\n"))
    second = await shop.deliver(forge=forge.forge, pull_request=pull_request(body="second"))
    assert isinstance(second, Delivered) and second.pr_url == first.pr_url and len(forge.pulls) == 1
    assert body_of(forge) == f"Look!\n\n{BEGIN}\nsecond\n{END}\n"
    assert forge.tokens == {"Bearer anything" if isinstance(forge, Lab) else "token anything"}
    watch = {"action": "watch", "forge": forge.forge, "pr_url": first.pr_url, "remove_branches": True}
    seen = await shop.deliver(**watch)
    assert isinstance(seen, Seen) and seen.state == "open"
    assert await shop.deliver(**watch, etag=seen.etag) == seen
    end(shop, forge, 1, "merged")
    last = await shop.deliver(**watch, etag=seen.etag)
    assert isinstance(last, Seen) and last.state == "merged" and shop.branches() == ["main"]


@pytest.mark.parametrize("state", ["merged", "closed"])
async def test_work_after_it_is_over_gets_one_of_its_own(shop: DeliveryHarness, forge: Played, state: str) -> None:
    await shop.deliver(forge=forge.forge, pull_request=pull_request())
    end(shop, forge, 1, state)
    shop.step("two", write("two.txt", "2\n"))
    result = await shop.deliver(forge=forge.forge, pull_request=pull_request())
    assert isinstance(result, Delivered) and result.pr_url == forge.forge.pull_request_url(2)
    assert result.branch == f"{shop.target}-2" and f"was {state} meanwhile" in result.notes[0]


@pytest.mark.parametrize("how", sampled(("merge", "squash", "rebase", "closed"), ("squash", "closed")))
async def test_new_work_is_never_left_on_a_branch_that_was_over_before_it_was_pushed(
    shop: DeliveryHarness, forge: Played, how: forge_branches.How, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await shop.deliver(forge=forge.forge, pull_request=pull_request())
    assert isinstance(first, Delivered)
    one, two = shop.steps["one"], shop.step("two", write("two.txt", "2\n"), start="makima/one")
    push = delivering.push

    async def meanwhile(*arguments: Any) -> str:
        if "merged" not in str(forge.pulls[0]["state"]) and not forge.pulls[0].get("merged"):
            end(shop, forge, 1, "closed" if how == "closed" else "merged", how)
        return await push(*arguments)

    monkeypatch.setattr(delivering, "push", meanwhile)
    again = await shop.deliver(
        forge=forge.forge, pull_request=pull_request(), steps=(two,), earlier=(one,), heads=(first.head,)
    )
    assert isinstance(again, Delivered) and again.round == 2 and again.branch == f"{shop.target}-2"
    assert again.pr_url == forge.forge.pull_request_url(2)
    assert {"one.txt", "two.txt"} <= set(shop.files(again.branch))
    assert ("one.txt" in shop.files("main")) is (how != "closed")
    monkeypatch.undo()
    monkeypatch.setenv("GITEA_TOKEN", "anything")
    monkeypatch.setenv("GITLAB_TOKEN", "anything")
    end(shop, forge, 2, "merged", "squash")
    looking = {"action": "watch", "forge": forge.forge, "pr_url": again.pr_url, "remove_branches": True, "round": 2}
    order = shop.order(**looking, heads=(first.head, *again.overtaken, again.head))
    seen = await shop.carry_out(shop.command(order, target=again.branch))
    assert isinstance(seen, Seen) and seen.state == "merged" and not seen.missing
    assert {"one.txt", "two.txt"} <= set(shop.files("main")) and shop.branches() == ["main"]


async def test_a_pull_request_from_a_copy_of_the_repository_is_not_the_deliverys(
    shop: DeliveryHarness, tea: Tea
) -> None:
    tea.pulls.append({**tea._pull(1, shop.target), "head": {"ref": shop.target, "repo_id": 2}, "merged": True})
    tea.pulls[0]["state"] = "closed"
    made = await shop.deliver(forge=tea.forge, pull_request=pull_request())
    assert isinstance(made, Delivered) and made.round == 1 and made.pr_url == tea.forge.pull_request_url(2)
    seen = await shop.deliver(action="watch", forge=tea.forge, pr_url=tea.forge.pull_request_url(1), heads=(made.head,))
    assert isinstance(seen, Nothing) and seen.not_ours and "a copy of the repository" in seen.reason


async def test_verification_finds_or_makes_it(shop: DeliveryHarness, forge: Played) -> None:
    asked = {"action": "verify", "forge": forge.forge, "pull_request": pull_request()}
    assert isinstance(await shop.deliver(**asked), Nothing)
    await shop.deliver()  # the branch alone
    made, found = await shop.deliver(**asked), await shop.deliver(**asked)
    assert isinstance(made, Delivered) and found == made and len(forge.pulls) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_an_account_that_is_refused_is_said_with_the_fix(
    shop: DeliveryHarness, forge: Played, status: int
) -> None:
    forge.refuse("POST", status)
    with pytest.raises(
        WorkspaceFailed, match=rf"refuses the daemon's account \({status}\): no; give the daemon a token"
    ):
        await shop.deliver(forge=forge.forge, pull_request=pull_request())


async def test_refused_labels_or_reviewers_hold_nothing_up_and_are_said(shop: DeliveryHarness, forge: Played) -> None:
    forge.refuse("GET", 404, "no such thing", "labels?limit=50&page=1")
    forge.refuse("PUT", 422, {"reviewers": ["ada is no member"]})
    result = await shop.deliver(forge=forge.forge, pull_request=WANTED)
    assert isinstance(result, Delivered) and result.pr_url == forge.forge.pull_request_url(1)
    assert result.notes[0].startswith("not all of its labels and reviewers: 127.0.0.1")
    assert "no such thing" in result.notes[0] or '{"reviewers":["ada is no member"]}' in result.notes[0]


async def test_gitlab_is_told_of_draft_labels_and_reviewers(shop: DeliveryHarness, lab: Lab) -> None:
    result = await shop.deliver(forge=lab.forge, pull_request=WANTED)
    assert isinstance(result, Delivered) and result.notes == ()
    assert lab.sent("POST") == [
        {
            "source_branch": shop.target,
            "target_branch": "main",
            "title": "Draft: A `job`; $(x) --now",
            "description": f"{BEGIN}\nb\n{END}\n",
        }
    ]
    assert lab.sent("PUT") == [{"add_labels": "night,new one"}, {"reviewer_ids": [43, 43]}]


async def test_gitea_is_told_of_draft_labels_by_number_and_reviewers(shop: DeliveryHarness, tea: Tea) -> None:
    result = await shop.deliver(forge=tea.forge, pull_request=WANTED)
    assert isinstance(result, Delivered) and result.notes == ()
    assert tea.pulls[0]["title"] == "WIP: A `job`; $(x) --now"
    assert tea.sent("POST", "/shop/labels") == [{"name": "new one", "color": "#ededed"}]
    assert tea.sent("POST", "/issues/1/labels") == [{"labels": [7, 8]}]
    assert tea.sent("POST", "/requested_reviewers") == [{"reviewers": ["ada", "bob"]}]


async def test_gitea_is_looked_through_when_others_have_many_pull_requests(shop: DeliveryHarness, tea: Tea) -> None:
    await shop.deliver(forge=tea.forge, pull_request=pull_request(body="first"))
    tea.others(120)
    await shop.deliver(forge=tea.forge, pull_request=pull_request(body="second"))
    assert len(tea.pulls) == 121 and body_of(tea) == f"{BEGIN}\nsecond\n{END}\n"


@pytest.mark.parametrize("moment", ["before_create", "after_create"])
async def test_broken_off_around_its_creation_and_delivered_again_there_is_one(
    shop: DeliveryHarness, forge: Played, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    place = "daemon.pull_request.gitlab." if isinstance(forge, Lab) else "daemon.pull_request.http."
    armed = [place + moment]

    def hit(place: str, moment: str) -> None:
        if f"{place}.{moment}" in armed:
            armed.remove(f"{place}.{moment}")
            raise FailpointReached(place)

    monkeypatch.setattr(gitlab if isinstance(forge, Lab) else gitea, "hit", hit)
    with pytest.raises(FailpointReached):
        await shop.deliver(forge=forge.forge, pull_request=WANTED)
    assert len(forge.pulls) == (moment == "after_create")
    result = await shop.deliver(forge=forge.forge, pull_request=WANTED)
    assert isinstance(result, Delivered) and result.pr_url == forge.forge.pull_request_url(1)
    assert len(forge.pulls) == 1
