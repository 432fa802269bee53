"""Roles: each may do what those before it may."""

from shared.domain.roles import Role


def test_a_role_includes_itself_and_the_lesser_ones() -> None:
    assert [[a.includes(b) for b in Role] for a in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
