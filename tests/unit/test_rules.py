"""docs/rules.md lists the rules that comments cite by number: where each is kept, and which tests hold it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("shared", "services", "cli", "simulation")
CITED = re.compile(r"\brules? (\d+(?:(?:, | and | to )\d+)*)")
HEADING = re.compile(r"^## (\d+)\. ")
LISTED = re.compile(r"^- (Python|SQL|Tests): (.+)$")


@dataclass
class Rule:
    """One section of the document."""

    number: int
    files: set[str] = field(default_factory=set)
    tests: set[str] = field(default_factory=set)


def rules() -> dict[int, Rule]:
    found: dict[int, Rule] = {}
    for line in (ROOT / "docs" / "rules.md").read_text(encoding="utf-8").splitlines():
        if heading := HEADING.match(line):
            last = found[int(heading[1])] = Rule(int(heading[1]))
        elif listed := LISTED.match(line):
            (last.tests if listed[1] == "Tests" else last.files).update(re.findall(r"`([^`]+)`", listed[2]))
    return found


def numbers(cited: str) -> Iterator[int]:
    """Of "4, 5 and 10" or "10 to 13", each."""
    for part in re.split(r", | and ", cited):
        first, _, last = part.partition(" to ")
        yield from range(int(first), int(last or first) + 1)


def citations() -> Mapping[int, set[str]]:
    """The files that cite each rule. Migrations are history: they may cite, and are not listed."""
    found: dict[int, set[str]] = defaultdict(set)
    for folder in SOURCES:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in (".py", ".sql", ".j2") and "migrations" not in file.parts:
                for cited in CITED.findall(file.read_text(encoding="utf-8")):
                    for number in numbers(cited):
                        found[number].add(str(file.relative_to(ROOT)))
    return found


def test_the_rules_are_numbered_without_a_gap_and_each_has_a_test() -> None:
    known = rules()
    assert list(known) == list(range(1, len(known) + 1))
    assert [rule.number for rule in known.values() if not rule.tests] == []


def test_every_citation_is_of_a_rule_that_lists_its_file() -> None:
    known = rules()
    missing = [
        f"docs/rules.md: rule {number} doesn't list {file}, which cites it"
        for number, files in citations().items()
        for file in sorted(files)
        if number not in known or file not in known[number].files
    ]
    assert missing == []


def test_every_file_that_a_rule_lists_cites_it() -> None:
    cited = citations()
    silent = [
        f"docs/rules.md: rule {rule.number} lists {file}, which doesn't cite it"
        for rule in rules().values()
        for file in sorted(rule.files - cited.get(rule.number, set()))
    ]
    assert silent == []


@pytest.mark.parametrize("test", sorted({test for rule in rules().values() for test in rule.tests}))
def test_every_test_that_a_rule_names_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not name or re.search(rf"^(?:async )?def {name}\(", text, re.MULTILINE)


def test_numbers_of_several_rules_are_understood() -> None:
    assert list(numbers("4, 5 and 10")) == [4, 5, 10]
    assert list(numbers("10 to 12")) == [10, 11, 12]
