"""A base branch that was rewritten while the steps worked: what was removed from it does not come back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from services.daemon.delivery.delivering import FRESH_SECONDS
from services.daemon.workspaces.workspace import WorkspaceFailed
from shared.domain.delivery import Broken, Delivered, Nothing, StepBranch
from tests.delivery_harness import DeliveryHarness, Edit, sh, write

pytestmark = pytest.mark.anyio
SECRET = write("secret.txt", "hunter2\n")


class Rewritten(DeliveryHarness):
    """A workshop whose main held a secret when its steps began."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, {"a.txt": "1\n2\n3\n4\n5\n"})
        self.kept = sh(self.clone, "git", "rev-parse", "HEAD")
        self.begun = self.commit("main", SECRET, start="main")

    def built(self, name: str, *edits: Edit, start: str = "main") -> StepBranch:
        """A completed step that says what it was built on."""
        self.steps[name] = msgspec.structs.replace(self.step(name, *edits, start=start), base=self.begun)
        return self.steps[name]

    def rewrite(self, *edits: Edit) -> str:
        """Push main by force without the secret, with something else instead."""
        sh(self.remote, "git", "update-ref", "refs/heads/main", self.kept)
        return self.commit("main", *(edits or (write("new.txt", "new\n"),)), start="main")

    def history(self, branch: str) -> list[str]:
        """Every commit of a branch."""
        return sh(self.remote, "git", "rev-list", branch).splitlines()


@pytest.fixture
def shop(tmp_path: Path) -> Rewritten:
    return Rewritten(tmp_path)


@pytest.mark.parametrize("strategy", ["merge", "squash"])
async def test_the_steps_work_is_rebuilt_on_the_new_base(shop: Rewritten, strategy: str) -> None:
    shop.built("one", write("one.txt", "1\n"))
    shop.built("two", write("one.txt", "1\n2\n"), start="makima/one")
    shop.built("three", write("three.txt", "3\n"))
    base = shop.rewrite()
    done = await shop.deliver(strategy=strategy)
    assert isinstance(done, Delivered)
    assert shop.files() == ["a.txt", "new.txt", "one.txt", "three.txt"] and shop.show("one.txt") == "1\n2"
    assert base in shop.history(shop.target) and shop.begun not in shop.history(shop.target)
    assert "main" in done.notes[0] or "HEAD" in done.notes[0]
    assert "was rewritten (force-pushed) meanwhile: the work is rebuilt on it" in done.notes[0]


async def test_what_began_after_it_is_merged_beside_it_as_ever(shop: Rewritten) -> None:
    shop.built("one", write("one.txt", "1\n"))
    shop.begun = shop.rewrite()
    shop.built("late", write("late.txt", "late\n"))
    assert isinstance(await shop.deliver(), Delivered)
    assert shop.files() == ["a.txt", "late.txt", "new.txt", "one.txt"]


async def test_where_it_does_not_fit_the_new_base_the_delivery_says_so_and_what_to_do(shop: Rewritten) -> None:
    shop.built("one", write("a.txt", "1\n2\nthree by one\n4\n5\n"))
    shop.rewrite(write("a.txt", "1\n2\nthree by hand\n4\n5\n"))
    with pytest.raises(
        WorkspaceFailed, match=r"was rewritten \(force-pushed\) after makima/one began.*a\.txt"
    ) as raised:
        await shop.deliver()
    assert raised.value.permanent and "by hand, or skip the step" in str(raised.value)
    assert shop.target not in shop.branches()


async def test_a_base_that_only_moved_on_is_no_rewritten_one(shop: Rewritten) -> None:
    shop.built("one", write("one.txt", "1\n"))
    shop.commit("main", write("more.txt", "more\n"), start="main")
    done = await shop.deliver()
    assert isinstance(done, Delivered) and done.notes == ()
    assert "secret.txt" in shop.files()


async def test_what_was_delivered_before_that_is_not_added_to_but_can_be_rebuilt(shop: Rewritten) -> None:
    one = shop.built("one", write("one.txt", "1\n"))
    first = await shop.deliver()
    assert isinstance(first, Delivered)
    two = shop.built("two", write("two.txt", "2\n"), start="makima/one")
    shop.rewrite()
    again = {"steps": (two,), "earlier": (one,), "heads": (first.head,)}
    with pytest.raises(
        WorkspaceFailed, match=r"rewritten \(force-pushed\).*close its pull request or remove the branch"
    ):
        await shop.deliver(**again)
    sh(shop.remote, "git", "update-ref", "-d", f"refs/heads/{shop.target}")
    assert isinstance(await shop.deliver(**again), Delivered)
    assert shop.files() == ["a.txt", "new.txt", "one.txt", "two.txt"]


async def test_a_check_that_fails_on_rebuilt_work_names_the_step(shop: Rewritten) -> None:
    shop.built("good", write("good.txt", "1\n"))
    bad = shop.built("bad", write("bad.txt", "1\n"))
    shop.rewrite()
    broken = await shop.deliver(check="! test -e bad.txt")
    assert isinstance(broken, Broken) and broken.steps == (bad.id,)


async def test_steps_that_change_nothing_are_said_to_and_leave_no_branch(shop: Rewritten) -> None:
    shop.step("idle")
    done = await shop.deliver()
    assert isinstance(done, Nothing) and done.reason.startswith("nothing changed")
    assert shop.target not in shop.branches()


async def test_a_delivery_without_anything_new_says_so(shop: Rewritten) -> None:
    one = shop.step("one", write("one.txt", "1\n"))
    first = await shop.deliver()
    assert isinstance(first, Delivered)
    idle = shop.step("idle", start="makima/one")
    sh(shop.remote, "git", "update-ref", "refs/heads/makima/idle", one.head or "")
    again = msgspec.structs.replace(idle, head=one.head)
    done = await shop.deliver(steps=(again,), earlier=(one,), heads=(first.head,))
    assert isinstance(done, Delivered) and done.notes == ("nothing changed since it was delivered last",)


async def test_a_base_that_is_rewritten_while_the_check_runs_is_noticed_before_the_push(shop: Rewritten) -> None:
    shop.built("one", write("one.txt", "1\n"))
    check = f"sleep {FRESH_SECONDS}; git -C {shop.remote} update-ref refs/heads/main {shop.kept}"
    done = await shop.deliver(check=check)
    assert isinstance(done, Delivered)
    assert shop.files() == ["a.txt", "one.txt"] and shop.begun not in shop.history(shop.target)
    assert any("merging again" in line for line in shop.said)
