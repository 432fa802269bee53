"""Which forge a repository lies on, and which addresses are pull requests of it."""

import pytest

from shared.domain.forge import Forge, forge_of, number_of, pull_request_url

HUB = Forge(kind="github", host="github.com", path="acme/shop")
LAB = Forge(kind="gitlab", host="gitlab.example.org", path="group/sub/shop")
TEA = Forge(kind="gitea", host="codeberg.org", path="acme/shop")


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://github.com/acme/shop", HUB),
        ("https://github.com/acme/shop.git", HUB),
        ("https://user:word@GitHub.com/acme/shop/", HUB),
        ("git@github.com:acme/shop.git", HUB),
        ("ssh://git@github.com:22/acme/shop.git", HUB),
        ("https://github.corp.example/acme/shop", Forge(kind="github", host="github.corp.example", path="acme/shop")),
        (
            "https://git.corp.example:8443/acme/shop",
            Forge(kind="gitea", host="git.corp.example:8443", path="acme/shop"),
        ),
        ("git@gitlab.example.org:group/sub/shop.git", LAB),
        ("https://codeberg.org/acme/shop", TEA),
        ("/srv/git/shop.git", None),
        ("../shop", None),
        ("file:///srv/github.com/acme/shop", None),
        ("https://example.org/acme/shop", None),
        ("https://github.com/acme", None),
        ("https://github.com/acme/../shop", None),
        ("https://notgithub.com/acme/shop", None),
        ("https://none.example/acme/shop", None),
        ("https://[broken", None),
        (None, None),
    ],
)
def test_the_forge_of_an_address(url: str | None, found: Forge | None) -> None:
    assert forge_of(url, {"git.corp.example": "gitea", "none.example": "none"}) == found


@pytest.mark.parametrize(
    ("url", "forge", "number"),
    [
        ("https://github.com/acme/shop/pull/7", HUB, 7),
        ("https://github.com/Acme/Shop/pull/7/files", HUB, 7),
        ("https://github.com/acme/shop/pull/7/?diff=split#r1", HUB, 7),
        ("https://gitlab.example.org/group/sub/shop/-/merge_requests/12", LAB, 12),
        ("https://codeberg.org/acme/shop/pulls/3", TEA, 3),
        ("https://github.com/acme/shop/pulls/7", HUB, None),
        ("https://github.com/acme/shop/issues/7", HUB, None),
        ("https://github.com/acme/other/pull/7", HUB, None),
        ("https://github.com/other/shop/pull/7", HUB, None),
        ("https://github.com.evil.example/acme/shop/pull/7", HUB, None),
        ("https://evil.example/github.com/acme/shop/pull/7", HUB, None),
        ("https://github.com@evil.example/acme/shop/pull/7", HUB, None),
        ("javascript://github.com/acme/shop/pull/7", HUB, None),
        ("https://github.com/acme/shop/pull/0", HUB, None),
        ("https://github.com/acme/shop/pull/7x", HUB, None),
        ("https://github.com/acme/shop/pull/7", None, None),
    ],
)
def test_an_address_counts_only_for_its_own_repository(url: str, forge: Forge | None, number: int | None) -> None:
    assert number_of(url, forge) == number


def test_the_result_comes_before_what_was_told_and_that_before_the_output_newest_first() -> None:
    one, two, three = (HUB.pull_request_url(n) for n in (1, 2, 3))
    foreign = "https://github.com/other/shop/pull/9"
    output = [f"made {one}", f"see <{three}>, or {two}.", f"by the way {foreign}"]
    assert pull_request_url(HUB, one, two, output) == one
    assert pull_request_url(HUB, foreign, two, output) == two
    assert pull_request_url(HUB, None, None, output) == two
    assert pull_request_url(HUB, None, foreign, [foreign, "nothing"]) is None
