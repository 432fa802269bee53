"""Mutants of a Python file by cosmic-ray, run in its own environment: `python.py FILE` prints a JSON list of texts.

Only operators whose mutants mean something: the many that turn `+` into `<<` crash at once and say nothing of a test.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cosmic_ray import plugins
from cosmic_ray.mutating import mutate_code

OPERATORS = (
    "AddNot",
    "NumberReplacer",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ReplaceUnaryOperator_Delete_Not",
    "ZeroIterationForLoop",
    "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBinaryOperator_Mul_Div",
    "ReplaceBinaryOperator_Div_Mul",
    "ReplaceComparisonOperator_Lt_LtE",
    "ReplaceComparisonOperator_LtE_Lt",
    "ReplaceComparisonOperator_Gt_GtE",
    "ReplaceComparisonOperator_GtE_Gt",
    "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_IsNot_Is",
)


def main() -> None:
    """Print every operator's every mutant."""
    code = Path(sys.argv[1]).read_text(encoding="utf-8")
    found = []
    for name in OPERATORS:
        operator, occurrence = plugins.get_operator(f"core/{name}")(), 0
        while (changed := mutate_code(code, operator, occurrence)) is not None:
            found.append([name, changed])
            occurrence += 1
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
