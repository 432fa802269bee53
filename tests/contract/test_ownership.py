"""The table of owners is whole: it holds every kind of write that a service's statements do, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contract.ownership import OWN

ROOT = Path(__file__).parents[2]
WRITES = re.compile(r"\b(INSERT) INTO makima\.(\w+)|\b(UPDATE) makima\.(\w+)|\b(DELETE) FROM makima\.(\w+)")
BY_FUNCTIONS_OF_THE_SCHEMA = {
    "monitor": {
        ("DELETE", "plan_request"),
        ("DELETE", "step"),
        ("DELETE", "step_dependency"),
        ("UPDATE", "work_order"),
        ("INSERT", "step_order"),
        ("UPDATE", "step_order"),
        ("DELETE", "step_order"),
    },
    "gateway": {("DELETE", "plan_request"), ("DELETE", "step_dependency"), ("DELETE", "step_order")},
}


def written(service: str) -> set[tuple[str, str]]:
    """What a service's statements write: each operation and table. Everybody adds to the audit log."""
    found = set()
    for file in (ROOT / "services" / service).rglob("*.sql"):
        for statement in re.sub(r"--(?! name:)[^\n]*", "", file.read_text(encoding="utf-8")).split("-- name:"):
            writes = {tuple(part for part in match if part) for match in WRITES.findall(statement)}
            found |= writes
            if "DO UPDATE" in statement:
                found |= {
                    ("UPDATE", table) for operation, table in writes if operation == "INSERT" and table != "event"
                }
    return found - {("INSERT", "event")}


@pytest.mark.parametrize("service", list(OWN))
def test_the_table_holds_every_write_of_a_services_statements_and_no_other(service: str) -> None:
    owned = {(owns.op, table) for table, every in OWN[service].items() for owns in every}
    by_functions = BY_FUNCTIONS_OF_THE_SCHEMA.get(service, set())
    assert sorted(written(service) - owned) == []
    assert sorted(owned - written(service) - by_functions) == []
