"""What makes mutants of statements: real changes to what they mean, and none to what they only say."""

from __future__ import annotations

from pathlib import Path

from tools.mutants import sql
from tools.mutants.__main__ import ROOT, nearest
from tools.mutants.mutant import mutant

STATEMENT = """-- name: due
-- Steps with a < b, and a note = this
SELECT s.id FROM step s
 WHERE s.name = 'a < b'
   AND s.at <= now()
   AND NOT EXISTS (SELECT FROM task t WHERE t.step = s.id)
   AND (s.a
        OR s.b);
UPDATE step
   SET status = 'done',
       reason = NULL
 WHERE id = %(id)s;
"""


def made() -> set[tuple[str, str, str]]:
    found = [mutant("queries.sql", operator, STATEMENT, text) for operator, text in sql.mutants(STATEMENT)]
    return {(each.operator, each.before.strip(), each.after.strip()) for each in found if each}


def test_comparisons_are_swapped_and_conditions_dropped() -> None:
    assert ("<= to <", "AND s.at <= now()", "AND s.at < now()") in made()
    assert ("condition dropped", "AND s.at <= now()", "") in made()
    assert ("= to <>", "WHERE id = %(id)s;", "WHERE id <> %(id)s;") in made()


def test_comments_literals_and_what_is_set_stay_as_they_are() -> None:
    assert not [each for each in made() if each[1].startswith("--")]
    assert not [each for each in made() if each[1].startswith(("SET", "reason ="))]
    assert [each[0] for each in made() if each[1] == "WHERE s.name = 'a < b'"] == ["= to <>"]


def test_a_condition_of_several_lines_is_not_torn() -> None:
    assert not [each for each in made() if each[0] == "condition dropped" and each[1].startswith("AND (s.a")]


def test_every_file_that_is_changed_has_tests_near_it() -> None:
    assert "tests/unit/test_retry.py" in nearest(ROOT, "shared/domain/retry.py")
    (contract,) = nearest(ROOT, "services/executor/queries.sql")
    assert (ROOT / Path(contract)).is_dir()
