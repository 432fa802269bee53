"""docs/rules.md lists the rules that comments cite by number: where each is kept, and which tests hold it."""

from __future__ import annotations

import re

import pytest

from tools import rules

WRITTEN = rules.DOCUMENT.read_text(encoding="utf-8")
KNOWN = [int(number) for number in re.findall(r"^## (\d+)\. ", WRITTEN, re.MULTILINE)]
TESTS = re.findall(r"`(tests/[^`]+)`", WRITTEN)


def test_the_rules_are_numbered_without_a_gap_and_each_has_tests() -> None:
    assert list(range(1, len(KNOWN) + 1)) == KNOWN
    assert len(re.findall(r"^- Tests: `", WRITTEN, re.MULTILINE)) == len(KNOWN)


def test_every_rule_that_is_cited_is_there_and_every_one_is_cited() -> None:
    assert list(rules.citations()) == KNOWN


def test_the_files_that_a_rule_lists_are_those_that_cite_it() -> None:
    assert rules.document(WRITTEN) == WRITTEN, "`just rules` lists them anew"


@pytest.mark.parametrize("test", sorted(set(TESTS)))
def test_every_test_that_a_rule_names_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    text = (rules.ROOT / file).read_text(encoding="utf-8")
    assert re.search(rf"^(?:async )?def {name}\(", text, re.MULTILINE)
