"""Named SQL statements: a service's SQL files hold each under a line `-- name: what_it_does`.

A statement is declared once with what a row of it becomes, and asked with its parameters by name:

    SQL = Statements("services.executor")
    CANCELS = SQL.query("cancels", Cancel)
    RENEW = SQL.command("renew")

    cancels = await unit.fetch(CANCELS())
    unit.execute(RENEW(tasks=tasks, lease=60.0))
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Any, Generic, LiteralString, TypeVar

from shared.domain import statuses

R = TypeVar("R")
_NAME = re.compile(r"^-- name: *(\w+) *$", re.MULTILINE)
_PARAMETER = re.compile(r"%\((\w+)\)s|%%")
_FRAGMENT = re.compile(r"\{(\w+)\}")
FRAGMENTS = {
    name: ", ".join(f"'{status}'" for status in type(next(iter(chosen))) if status in chosen)
    for name, chosen in statuses.SETS.items()
}
"""What stands for `{name}` in a statement: the statuses of a set of shared/domain/statuses.py, as SQL writes them."""


class Asked(Generic[R]):
    """A statement with its parameters: what a unit of work carries out."""

    __slots__ = ("parameters", "statement")

    def __init__(self, statement: Statement[R], parameters: tuple[object, ...]) -> None:
        self.statement = statement
        self.parameters = parameters


class Statement(Generic[R]):
    """One statement: its text as Postgres prepares it, its parameters in order, and what a row of it becomes."""

    row: type[R] | None = None

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text, self.parameters = _numbered(text)
        self._nothing = Asked(self, ())

    def __call__(self, **given: object) -> Asked[R]:
        """Ask it. Raises TypeError unless exactly its parameters are given."""
        if not given and not self.parameters:
            return self._nothing
        if given.keys() != set(self.parameters):
            raise TypeError(f"{self.name} takes {', '.join(self.parameters) or 'nothing'}; not {', '.join(given)}")
        return Asked(self, tuple(given[name] for name in self.parameters))


class Query(Statement[R]):
    """A statement with rows. `row` is the Struct that each becomes, or the type of its only column."""

    def __init__(self, name: str, text: str, row: type[R]) -> None:
        super().__init__(name, text)
        self.row = row


class Command(Statement[None]):
    """A statement without rows, or one whose rows nobody wants."""


class Statements:
    """The statements of a package's SQL files, each to be declared.

    Raises FileNotFoundError without any, KeyError where one holds the name of no fragment.
    """

    def __init__(self, package: str) -> None:
        self._prefix = package.split(".")[1]
        self.texts = _texts(package)
        self.declared: dict[str, Statement[Any]] = {}

    def query(self, name: str, row: type[R]) -> Query[R]:
        """Declare a statement whose rows become this: a Struct of its columns, or the type of its only one."""
        return self._declare(name, Query(f"{self._prefix}.{name}", self.texts[name], row))

    def command(self, name: str) -> Command:
        """Declare a statement without rows."""
        return self._declare(name, Command(f"{self._prefix}.{name}", self.texts[name]))

    def _declare(self, name: str, statement: S) -> S:
        if name in self.declared:
            raise ValueError(f"{statement.name} is declared twice")
        self.declared[name] = statement
        return statement


S = TypeVar("S", bound=Statement[Any])


@cache
def statements(package: str) -> dict[str, LiteralString]:
    """The statements of a package's SQL files by name. Raises FileNotFoundError without any."""
    return _texts(package)


def with_fragments(text: LiteralString) -> LiteralString:
    """A text of SQL with what its fragments stand for. Raises KeyError for the name of none.

    >>> with_fragments("status IN ({settled_step})")
    "status IN ('completed', 'skipped')"
    """
    return _FRAGMENT.sub(lambda found: FRAGMENTS[found[1]], text)


@cache
def _texts(package: str) -> dict[str, LiteralString]:
    files = sorted((f for f in resources.files(package).iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    if not files:
        raise FileNotFoundError(f"{package} has no SQL file")
    parts = _NAME.split("\n".join(["", *(file.read_text(encoding="utf-8") for file in files)]))
    return {name: with_fragments(text.strip()) for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def _numbered(text: str) -> tuple[str, tuple[str, ...]]:
    """A text with its named parameters numbered, and their names in that order.

    >>> _numbered("SELECT %(b)s, %(a)s, %(b)s")
    ('SELECT $1, $2, $1', ('b', 'a'))
    """
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] is None:
            return "%"
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    return _PARAMETER.sub(number, text), tuple(names)
