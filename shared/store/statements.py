"""Named SQL statements: a service's `queries.sql` holds each under a line `-- name: what_it_does`."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: *(\w+) *$", re.MULTILINE)


@cache
def statements(package: str) -> dict[str, LiteralString]:
    """The statements of a package's queries.sql by name. Raises FileNotFoundError without one."""
    parts = _NAME.split(resources.files(package).joinpath("queries.sql").read_text(encoding="utf-8"))
    found = dict(zip(parts[1::2], (text.strip() for text in parts[2::2]), strict=True))
    return cast("dict[str, LiteralString]", found)
