"""Parameters of which every run takes a few, and the run at night all."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pytest


def sampled(values: Iterable[object], each_run: Collection[object]) -> list[object]:
    """These values, or tuples of them, those not in `each_run` marked as long."""
    parameters: list[object] = []
    for value in values:
        named = value if isinstance(value, tuple) else (value,)
        parameters.append(pytest.param(*named, marks=() if value in each_run else pytest.mark.long))
    return parameters
