"""Steps' branches go from a remote without pull requests once what is delivered there holds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.domain.delivery import Delivered
from tests.delivery_harness import DeliveryHarness, sh, write

pytestmark = pytest.mark.anyio


@pytest.fixture
def shop(tmp_path: Path) -> DeliveryHarness:
    return DeliveryHarness(tmp_path, {"a.txt": "a\n"})


async def test_they_are_gone_with_the_delivery_and_the_work_is_there(shop: DeliveryHarness) -> None:
    shop.step("one", write("one.txt", "1"))
    shop.step("two", write("two.txt", "2"))
    shop.commit("somebodys", write("x", "x"))
    result = await shop.deliver(remove_branches=True)
    assert isinstance(result, Delivered)
    assert sorted(result.removed) == ["makima/one", "makima/two"]
    assert sorted(shop.branches()) == ["main", shop.target, "somebodys"]
    assert shop.files() == ["a.txt", "one.txt", "two.txt"]


async def test_the_next_delivery_builds_on_it_without_them(shop: DeliveryHarness) -> None:
    shop.step("one", write("one.txt", "1"))
    first = await shop.deliver(remove_branches=True)
    assert isinstance(first, Delivered)
    earlier, shop.steps = tuple(shop.steps.values()), {}
    shop.step("two", write("two.txt", "2"), start=shop.target)
    again = await shop.deliver(remove_branches=True, earlier=earlier, heads=(first.head,))
    assert isinstance(again, Delivered)
    assert sorted(again.removed) == ["makima/one", "makima/two"]
    assert sorted(shop.branches()) == ["main", shop.target]
    assert shop.files() == ["a.txt", "one.txt", "two.txt"]


async def test_a_delivery_that_died_before_it_was_told_of_is_made_again_without_them(shop: DeliveryHarness) -> None:
    shop.step("one", write("one.txt", "1"))
    first = await shop.deliver(remove_branches=True)
    again = await shop.deliver(remove_branches=True)
    assert isinstance(first, Delivered) and isinstance(again, Delivered)
    assert (again.head, again.removed) == (first.head, first.removed)


async def test_what_somebody_pushed_to_one_meanwhile_stays(shop: DeliveryHarness) -> None:
    shop.step("one", write("one.txt", "1"))
    shop.hook(
        "post-receive",
        f"""
        while read old new ref; do
            [ "$ref" = refs/heads/{shop.target} ] && git update-ref refs/heads/makima/one "$(git commit-tree -p \
                refs/heads/makima/one -m more refs/heads/makima/one^{{tree}})"
        done
        true""",
    )
    result = await shop.deliver(remove_branches=True)
    assert isinstance(result, Delivered)
    assert result.removed == ()
    assert sh(shop.remote, "git", "log", "-1", "--format=%s", "makima/one") == "more"


@pytest.mark.parametrize(
    "order", [{}, {"remove_branches": True, "strategy": "squash"}], ids=["unless the setting says so", "squashed"]
)
async def test_what_is_not_to_go_or_is_held_by_nothing_else_stays(
    shop: DeliveryHarness, order: dict[str, object]
) -> None:
    shop.step("one", write("one.txt", "1"))
    result = await shop.deliver(**order)
    assert isinstance(result, Delivered)
    assert result.removed == () and "makima/one" in shop.branches()


async def test_a_remote_that_keeps_its_branches_is_delivered_to_all_the_same(shop: DeliveryHarness) -> None:
    shop.step("one", write("one.txt", "1"))
    sh(shop.remote, "git", "config", "receive.denyDeletes", "true")
    result = await shop.deliver(remove_branches=True)
    assert isinstance(result, Delivered) and result.removed == ()
    assert any("stay on the remote" in line for line in shop.said)
