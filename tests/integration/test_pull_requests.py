"""Pull requests by the real gh, against a local server that plays GitHub's REST interface."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.daemon.workspaces.workspace import WorkspaceFailed
from services.daemon.workspaces.workspaces import Workspaces
from shared.domain.delivery import Delivered, Nothing, Seen
from shared.domain.descriptions import BEGIN, CHECKED, END, FILES
from shared.domain.names import delivery_branch
from tests import forge_branches
from tests import github as fake
from tests.delivery_harness import TITLE, DeliveryHarness, forge, pull_request, sh, write
from tests.github import GitHub

pytestmark = pytest.mark.anyio


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[GitHub]:
    folder = fake.short_folder(tmp_path)
    with fake.github(folder) as playing:
        yield playing
    shutil.rmtree(folder)


class PullRequestHarness(DeliveryHarness):
    """A workshop whose repository lies on a forge."""

    hub: GitHub

    async def propose(self, **more: object) -> Delivered:
        values = {"forge": forge(self.hub.url), "pull_request": pull_request(), **more}
        result = await self.deliver(url=self.hub.url, **values)
        assert isinstance(result, Delivered), result
        return result


@pytest.fixture
def shop(tmp_path: Path, hub: GitHub, monkeypatch: pytest.MonkeyPatch) -> PullRequestHarness:
    shop = PullRequestHarness(tmp_path, {"a.txt": "a\n"})
    shop.hub = hub
    for name, value in hub.environment(shop.remote).items():
        monkeypatch.setenv(name, value)
    shop.step("one", write("one.txt", "1\n"))
    return shop


async def test_the_first_delivery_makes_one_pull_request(shop: PullRequestHarness, hub: GitHub) -> None:
    wanted = pull_request()
    wanted = type(wanted)(title="A job", body="did it", draft=True, labels=("night",), reviewers=("ada",))
    result = await shop.propose(pull_request=wanted)
    assert result.pr_url == "https://github.com/acme/shop/pull/1"
    (sent,) = [body for path, body in hub.requests("POST") if path == "/repos/acme/shop/pulls"]
    assert sent == {
        "title": "A job",
        "head": shop.target,
        "base": "main",
        "body": f"{BEGIN}\ndid it\n{END}\n",
        "draft": True,
    }
    assert hub.labels == [(1, {"labels": ["night"]}), (1, {"reviewers": ["ada"]})]
    assert hub.requests("PATCH") == []


async def test_a_second_delivery_refreshes_what_is_ours_and_leaves_what_people_wrote(
    shop: PullRequestHarness, hub: GitHub
) -> None:
    await shop.propose(pull_request=pull_request(body="first"))
    hub.pulls[0]["body"] = f"Please look at the tests.\r\n\r\n{hub.pulls[0]['body']}\r\nThanks!"
    shop.step("two", write("two.txt", "2\n"))
    result = await shop.propose(pull_request=pull_request(body="second"))
    assert result.pr_url == "https://github.com/acme/shop/pull/1" and len(hub.pulls) == 1
    assert hub.pulls[0]["body"] == f"Please look at the tests.\n\n{BEGIN}\nsecond\n{END}\n\nThanks!"
    assert {"one.txt", "two.txt"} <= set(shop.files())


async def test_a_pull_request_that_is_open_already_is_taken(shop: PullRequestHarness, hub: GitHub) -> None:
    await shop.propose()
    hub.asked.clear()
    await shop.propose()
    assert len(hub.pulls) == 1 and hub.requests("POST") == [] and hub.requests("PATCH") == []


@pytest.mark.parametrize("state", ["merged", "closed"])
async def test_work_after_a_pull_request_is_over_gets_a_branch_and_a_pull_request_of_its_own(
    shop: PullRequestHarness, hub: GitHub, state: str
) -> None:
    await shop.propose()
    hub.end(1, state)
    shop.step("two", write("two.txt", "2\n"))
    result = await shop.propose()
    assert result.pr_url == "https://github.com/acme/shop/pull/2" and result.round == 2
    assert result.branch == delivery_branch(TITLE, shop.directive, 2) == f"{shop.target}-2"
    assert "two.txt" not in shop.files() and "two.txt" in shop.files(result.branch)
    assert result.notes == (
        f"https://github.com/acme/shop/pull/1 was {state} meanwhile: the new work is in a new pull request",
    )


async def test_a_forge_that_is_down_for_a_while_is_asked_again(shop: PullRequestHarness, hub: GitHub) -> None:
    hub.stop()
    threading.Timer(2.5, hub.start).start()
    result = await shop.propose()
    assert result.pr_url and any("asked again in" in line for line in shop.said)


@pytest.mark.parametrize("status", [500, 502, 429])
async def test_what_passes_is_asked_again(shop: PullRequestHarness, hub: GitHub, status: int) -> None:
    hub.instead += [("POST", status, {"Retry-After": "1"} if status == 429 else {}, {"message": "busy"})] * 2
    result = await shop.propose()
    assert result.pr_url and len(hub.pulls) == 1 and sum("asked again" in line for line in shop.said) == 2


async def test_an_answer_that_was_lost_does_not_make_a_second_pull_request(
    shop: PullRequestHarness, hub: GitHub
) -> None:
    def lose_once(body: object) -> tuple[int, dict[str, str], object]:
        create(body)
        hub._create = create  # type: ignore[method-assign]
        return 502, {}, {"message": "lost"}

    create = hub._create
    hub._create = lose_once  # type: ignore[method-assign]
    result = await shop.propose()
    assert result.pr_url == "https://github.com/acme/shop/pull/1" and len(hub.pulls) == 1


@pytest.mark.parametrize(
    ("status", "headers", "message", "words"),
    [
        (401, {}, "Bad credentials", r"refuses the daemon's account \(401\).*gh auth login -h github.com"),
        (403, {}, "Resource not accessible", r"forbids it \(403\): Resource not accessible"),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999"}, "API rate limit exceeded", "limits"),
        (404, {}, "Not Found", r"does not know the repository.*\(404\)"),
        (422, {}, "Validation Failed", r"refuses it \(422\): Validation Failed"),
    ],
)
async def test_what_does_not_pass_is_said_in_words(
    shop: PullRequestHarness, hub: GitHub, status: int, headers: dict[str, str], message: str, words: str
) -> None:
    hub.instead.append(("POST", status, headers, {"message": message}))
    with pytest.raises(WorkspaceFailed, match=words) as raised:
        await shop.propose()
    assert raised.value.permanent is (message != "API rate limit exceeded")
    assert shop.target in shop.branches(), "the work itself is safe on the remote"


async def test_nothing_to_propose_is_no_failure(shop: PullRequestHarness, hub: GitHub) -> None:
    errors = [{"message": "No commits between main and x"}]
    hub.instead.append(("POST", 422, {}, {"message": "Validation Failed", "errors": errors}))
    result = await shop.propose()
    assert result.pr_url is None and "No commits between" in result.notes[0]


NASTY = ['"quotes" `ticks` $(touch /tmp/x)', "--web -x", "two\nlines", "😀 émoji", "x" * 10_000, "'; rm -rf ~; '"]


@pytest.mark.parametrize("text", NASTY)
async def test_whatever_was_typed_reaches_the_pull_request_as_text(
    shop: PullRequestHarness, hub: GitHub, text: str
) -> None:
    await shop.propose(pull_request=pull_request(title=text, body=text))
    title = " ".join(text.split())
    assert hub.pulls[0]["title"] == (title if len(title) <= 256 else title[:255] + "…")
    assert hub.pulls[0]["body"] == f"{BEGIN}\n{text}\n{END}\n"


async def test_without_gh_it_says_what_to_install(
    shop: PullRequestHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    git = shutil.which("git")
    assert git is not None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(WorkspaceFailed, match="`gh` is not installed on this daemon: install it"):
        await shop.propose()


async def verify(shop: PullRequestHarness) -> object:
    return await shop.deliver(url=shop.hub.url, action="verify", forge=forge(shop.hub.url), pull_request=pull_request())


async def test_verification_finds_or_makes_the_pull_request_or_says_that_it_was_merged(
    shop: PullRequestHarness, hub: GitHub
) -> None:
    assert isinstance(await verify(shop), Nothing)
    await shop.deliver()  # the branch alone
    made = await verify(shop)
    assert isinstance(made, Delivered) and made.pr_url == "https://github.com/acme/shop/pull/1"
    found = await verify(shop)
    assert isinstance(found, Delivered) and found.pr_url == made.pr_url and len(hub.pulls) == 1


async def test_watching_sees_nothing_new_by_etag_then_the_merge_and_cleans_up(
    shop: PullRequestHarness, hub: GitHub
) -> None:
    proposed = await shop.propose()
    watch = {"action": "watch", "forge": forge(hub.url), "pr_url": proposed.pr_url, "remove_branches": True}
    first = await shop.deliver(url=hub.url, **watch)
    assert isinstance(first, Seen) and first.state == "open" and first.etag
    assert await shop.deliver(url=hub.url, **watch, etag=first.etag) == first
    hub.end(1, "merged")
    last = await shop.deliver(url=hub.url, **watch, etag=first.etag)
    assert isinstance(last, Seen) and last.state == "merged"
    assert last.removed == ("makima/one", shop.target) and shop.branches() == ["main"]


async def test_steps_outside_of_the_branches_are_delivered_and_cleaned_up(
    tmp_path: Path, hub: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = PullRequestHarness(tmp_path, {"a.txt": "a\n"}, MAKIMA_STEP_REFS="refs/makima")
    shop.hub = hub
    for name, value in hub.environment(shop.remote).items():
        monkeypatch.setenv(name, value)
    shop.step("one", write("one.txt", "1\n"))
    shop.step("two", write("two.txt", "2\n"))
    proposed = await shop.propose()
    assert {"one.txt", "two.txt"} <= set(shop.files())
    assert shop.branches() == ["main", shop.target]
    hub.end(1, "merged")
    seen = await shop.deliver(
        url=hub.url, action="watch", forge=forge(hub.url), pr_url=proposed.pr_url, remove_branches=True
    )
    assert isinstance(seen, Seen) and seen.removed == ("makima/one", "makima/two", shop.target)
    assert sh(shop.remote, "git", "for-each-ref", "--format=%(refname)") == "refs/heads/main"


async def test_a_forge_that_is_down_when_it_is_looked_at_is_looked_at_again_later(
    shop: PullRequestHarness, hub: GitHub
) -> None:
    proposed = await shop.propose()
    hub.stop()
    watch = {"action": "watch", "forge": forge(hub.url), "pr_url": proposed.pr_url, "etag": '"e"'}
    assert await shop.deliver(url=hub.url, **watch) == Seen(state="open", etag='"e"')
    assert "can't be asked" in shop.said[-1] and shop.said[-1].endswith("looked at again later")


async def test_looking_reads_nothing_of_the_remote(shop: PullRequestHarness, hub: GitHub) -> None:
    proposed = await shop.propose()
    shop.remote.rename(shop.remote.with_suffix(".away"))
    watch = {"action": "watch", "forge": forge(hub.url), "pr_url": proposed.pr_url, "remove_branches": True}
    seen = await shop.deliver(url=hub.url, **watch)
    assert isinstance(seen, Seen) and seen.state == "open"
    hub.end(1, "merged")
    last = await shop.deliver(url=hub.url, **watch)
    assert isinstance(last, Seen) and last.state == "merged" and last.removed == ()
    assert last.notes[0].startswith("its branches stay on the remote: ")


async def test_branches_that_the_remote_keeps_hold_up_no_merged_pull_request(
    shop: PullRequestHarness, hub: GitHub
) -> None:
    proposed = await shop.propose()
    sh(shop.remote, "git", "config", "receive.denyDeletes", "true")
    hub.end(1, "merged")
    watch = {"action": "watch", "forge": forge(hub.url), "pr_url": proposed.pr_url, "remove_branches": True}
    seen = await shop.deliver(url=hub.url, **watch)
    assert isinstance(seen, Seen) and seen.state == "merged" and seen.removed == ()
    assert "denying ref deletion" in seen.notes[0]


async def test_what_a_closed_pull_request_held_squashed_can_be_delivered_again(
    shop: PullRequestHarness, hub: GitHub, tmp_path: Path
) -> None:
    proposed = await shop.propose(strategy="squash")
    hub.end(1, "closed")
    await shop.deliver(
        url=hub.url,
        action="watch",
        forge=forge(hub.url),
        pr_url=proposed.pr_url,
        remove_branches=True,
        strategy="squash",
    )
    shop.step("two", write("two.txt", "2\n"))
    shop.workspaces = Workspaces(tmp_path / "another")  # a daemon that has seen nothing of it
    await shop.workspaces.remove_orphans()
    again = await shop.propose(strategy="squash", round=2)
    assert {"one.txt", "two.txt"} <= set(shop.files(again.branch))


async def test_a_closed_pull_request_keeps_its_branches_as_the_base_holds_none_of_them(
    shop: PullRequestHarness, hub: GitHub
) -> None:
    proposed = await shop.propose()
    hub.end(1, "closed")
    seen = await shop.deliver(
        url=hub.url, action="watch", forge=forge(hub.url), pr_url=proposed.pr_url, remove_branches=True
    )
    assert isinstance(seen, Seen) and seen.state == "closed"
    assert seen.removed == () and shop.branches() == ["main", shop.target, "makima/one"]
    assert sh(shop.remote, "git", "show", f"{shop.target}:one.txt") == "1"


async def test_a_create_that_is_refused_since_there_is_one_already_finds_it(
    shop: PullRequestHarness, hub: GitHub
) -> None:
    await shop.propose(pull_request=pull_request(body="first"))
    hub.pulls[0]["body"] += "\nThanks!"
    answer, hidden = hub.answer, [True, True]

    def late(method: str, path: str, body: object) -> tuple[int, dict[str, str], object]:
        if method == "GET" and "?" in path and hidden:
            hidden.pop()
            return 200, {}, []
        return answer(method, path, body)

    hub.answer = late  # type: ignore[method-assign]
    shop.step("two", write("two.txt", "2\n"))
    result = await shop.propose(pull_request=pull_request(body="second"))
    assert result.pr_url == f"{hub.url}/pull/1" and len(hub.pulls) == 1
    assert "second" in hub.pulls[0]["body"] and "Thanks!" in hub.pulls[0]["body"]


async def verified(shop: PullRequestHarness, head: str) -> Nothing:
    asked = {"action": "verify", "forge": forge(shop.hub.url), "pull_request": pull_request(), "heads": (head,)}
    result = await shop.deliver(url=shop.hub.url, **asked)
    assert isinstance(result, Nothing), result
    return result


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
async def test_where_pull_request_and_branch_are_gone_verification_says_that_the_base_holds_the_work(
    shop: PullRequestHarness, how: forge_branches.How
) -> None:
    delivered = await shop.deliver()
    assert isinstance(delivered, Delivered)
    forge_branches.merge(shop.remote, shop.target, "main", how)
    forge_branches.delete(shop.remote, shop.target)
    found = await verified(shop, delivered.head)
    assert not found.missing and "holds the work" in found.reason and "not hold" not in found.reason


async def test_where_pull_request_and_branch_are_gone_and_the_base_lacks_the_work_verification_says_that_it_is_gone(
    shop: PullRequestHarness,
) -> None:
    delivered = await shop.deliver()
    assert isinstance(delivered, Delivered)
    forge_branches.delete(shop.remote, shop.target)
    found = await verified(shop, delivered.head)
    assert found.missing == (shop.steps["one"].id,) and found.reason.endswith("does not hold the work: it is gone")


async def test_a_commit_that_a_person_added_after_the_merge_stays_and_is_said(
    shop: PullRequestHarness, hub: GitHub
) -> None:
    proposed = await shop.propose()
    hub.end(1, "merged", "squash")
    late = forge_branches.push(shop.remote, shop.target, "late.txt")
    watch = {"action": "watch", "forge": forge(hub.url), "pr_url": proposed.pr_url, "remove_branches": True}
    seen = await shop.deliver(url=hub.url, **watch, heads=(proposed.head,))
    assert isinstance(seen, Seen) and seen.state == "merged" and seen.removed == ("makima/one",)
    assert shop.branches() == ["main", shop.target]
    assert seen.notes == (f"{shop.target} stays on the remote: the remote's HEAD does not hold its {late[:12]}",)


async def test_a_merge_of_another_branch_completes_nothing_and_removes_nothing(
    shop: PullRequestHarness, hub: GitHub
) -> None:
    proposed = await shop.propose()
    hub.pulls.append({**hub.pulls[0], "number": 2, "html_url": f"{hub.url}/pull/2"})
    hub.pulls[1]["head"] = {"ref": "old", "sha": "0" * 40, "repo": {"full_name": hub.path}}
    hub.pulls[1].update(state="closed", merged_at="2026-01-01T00:00:00Z")
    watch = {"action": "watch", "forge": forge(hub.url), "pr_url": f"{hub.url}/pull/2", "remove_branches": True}
    seen = await shop.deliver(url=hub.url, **watch, heads=(proposed.head,))
    assert isinstance(seen, Nothing) and seen.not_ours and "is a pull request of old" in seen.reason
    assert shop.branches() == ["main", shop.target, "makima/one"]


async def test_a_merge_without_what_was_delivered_names_the_steps_that_are_missing(
    shop: PullRequestHarness, hub: GitHub
) -> None:
    two = shop.step("two", write("two.txt", "2\n"))
    proposed = await shop.propose()
    sh(shop.remote, "git", "update-ref", f"refs/heads/{shop.target}", shop.steps["one"].head or "")  # two is dropped
    hub.end(1, "merged")
    watch = {"action": "watch", "forge": forge(hub.url), "pr_url": proposed.pr_url, "remove_branches": True}
    seen = await shop.deliver(url=hub.url, **watch, heads=(proposed.head,))
    assert isinstance(seen, Seen) and seen.missing == (two.id,) and seen.removed == ()


async def test_it_says_what_was_checked_and_which_files_change_within_the_repositorys_own_template(
    shop: PullRequestHarness, hub: GitHub
) -> None:
    shop.commit("main", write("PULL_REQUEST_TEMPLATE.md", "## Summary\n\n<!-- why? -->\n\n## Tests\n"), start="main")
    wanted = pull_request(body=f"did it\n\n{CHECKED}\n\n{FILES}")
    await shop.propose(pull_request=wanted, check="test -e one.txt")
    ours = (
        "did it\n\n### Checks\n\n\u2714 `test -e one.txt` passes on the merged result.\n\n\n"
        "### Files\n\n- at the root (+1 \u22120): `one.txt`"
    )
    template = "## Summary\n\n{ours}\n<!-- why? -->\n\n## Tests\n"
    assert hub.pulls[0]["body"] == template.format(ours=f"{BEGIN}\n{ours}\n{END}\n")
    shop.step("two", write("two.txt", "2\n"))
    await shop.propose(pull_request=wanted, check="")
    assert hub.pulls[0]["body"].startswith(f"## Summary\n\n{BEGIN}\ndid it\n\n### Checks\n\nNothing was checked: ")
    assert hub.pulls[0]["body"].endswith(f"`one.txt`, `two.txt`\n{END}\n\n<!-- why? -->\n\n## Tests\n")
