"""What a step is called closes no issue and calls nobody, whichever forge reads it, and still reads as it was typed."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.completer.prompts import pull_request
from shared.domain.descriptions import fenced, inline, marked, refreshed
from shared.domain.inert import inert_body, inert_subject

GITHUB = re.compile(
    r"\b(close[sd]?|fix(e[sd])?|resolve[sd]?):?\s+(https?://\S+/(issues|pull)/\d|(\w[\w.-]*/[\w.-]+)?#\d|gh-\d)", re.I
)
GITLAB = re.compile(  # its default pattern, with its kinds of references written out
    r"\b((?:[Cc]los(?:e[sd]?|ing)|\b[Ff]ix(?:e[sd]|ing)?|\b[Rr]esolv(?:e[sd]?|ing)|\b[Ii]mplement(?:s|ed|ing)?)(:?) +"
    r"(?:(?:issues? +)?(?:[\w./-]*#\d+|https?://\S+/(?:issues|work_items)/\d+)(?:(?: *,? +and +| *,? *)?)"
    r"|([A-Z][A-Z0-9_]+-\d+))+)"
)
GITEA = re.compile(r"(close[sd]?|fix(e[sd])?|resolve[sd]?|reopen(s|ed)?)[:\s]\s*([\w.-]+/[\w.-]+)?[#!][0-9]", re.I)
FORGES = (GITHUB, GITLAB, GITEA)
ORDERS = [
    "close #1164",
    "Write notes; then close #1164",
    "CLOSES: #1",
    "fixed GH-12",
    "fix gh-12",
    "resolves acme/shop#3, #4 and #5",
    "Fixes https://git.example.org/acme/shop/issues/12",
    "fixes https://gitlab.com/a/b/c/-/issues/7",
    "Closing issues #4",
    "Implements group/sub/project#9",
    "Resolve SHOP-77",
    "auto-close #6",
    "_fix #6_",
    "reopens #2",
]


@pytest.mark.parametrize("order", ORDERS)
def test_no_forge_takes_it_for_an_order(order: str) -> None:
    assert any(forge.search(order) for forge in FORGES)
    for made in (inert_subject(order), inert_body(order), inert_body(fenced(order)), inert_body(inline(order))):
        assert not any(forge.search(made) for forge in FORGES), made


@pytest.mark.parametrize("order", ORDERS)
def test_it_reads_as_it_was_typed(order: str) -> None:
    assert inert_subject(order).replace("`", "") == order
    assert inert_body(order).replace("\u200b", "") == order


@pytest.mark.parametrize(
    "text",
    [
        "Add a README",
        "see #12",
        "prefix #12",
        "Fix step-2 of the parser",
        "mail me@example.org",
        "C#7 notes",
        "a[skipped]",
    ],
)
def test_what_is_no_order_stays_as_it_is(text: str) -> None:
    assert inert_subject(text) == inert_body(text) == text


@pytest.mark.parametrize("text", ["ask @alice", "@acme/team first", "Update `@types/node`"])
def test_nobody_is_called_by_a_subject(text: str) -> None:
    assert not re.search(r"(?:^|\W)@[a-z0-9]", inert_subject(text), re.I)
    assert inert_subject(text).replace("\u200b", "") == text


SKIPS = re.compile(
    r"\[(skip[ -](ci|actions|appveyor|azurepipelines|netlify|vercel)|(ci|actions)[ -]skip|no ci)\]"
    r"|\*\*\*no_ci\*\*\*|^skip-checks: *true",
    re.I | re.M,
)


@pytest.mark.parametrize(
    "order",
    [
        "Write of [skip ci]",
        "[CI SKIP] one",
        "[no ci]",
        "a [skip actions] b",
        "[actions skip]",
        "[skip-ci] x",
        "***NO_CI***",
        "skip-checks: true",
        "[skip netlify]",
        "[skip appveyor]",
    ],
)
def test_nothing_that_a_step_is_called_keeps_checks_from_running(order: str) -> None:
    assert SKIPS.search(order)
    for made in (inert_subject(order), inert_body(order), inert_body(fenced(order))):
        assert not SKIPS.search(made), made
    assert inert_subject(order).replace("\u200b", "") == order
    assert inert_subject(inert_subject(order)) == inert_subject(order)


@given(
    st.lists(st.sampled_from([*ORDERS, "and", ",", ":", "\n", "`", "#3", " ", "fix", "@bob"]), max_size=6).map(" ".join)
)
def test_what_was_made_inert_once_stays_as_it_is(text: str) -> None:
    once = inert_subject(text)
    assert inert_subject(once) == once and "\n" not in once
    assert inert_body(inert_body(text)) == inert_body(text)
    assert not any(forge.search(made) for forge in FORGES for made in (once, inert_body(text)))


def test_a_pull_requests_body_closes_nothing_by_our_words_and_what_a_person_wrote_still_does() -> None:
    body = refreshed(f"Closes #1\n\n{marked('before')}", pull_request(goal="```\ncloses #2\n```", steps=[]))
    assert GITLAB.findall(body) == GITLAB.findall("Closes #1\n\n")
