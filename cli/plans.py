"""Plans from files and arguments: YAML or JSON, `steps:` or a bare list."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cli.client import Failed
from cli.text import clean

if TYPE_CHECKING:
    from shared.api.steps import StepShown

DEEPEST = 50
STANDARD_INPUT = "standard input"


def from_file(path: str) -> list[Any]:
    """The steps in a plan file, `-` for standard input. Raises Failed, with the line where there is one."""
    text = _read(path)
    path = STANDARD_INPUT if path == "-" else path
    try:
        return _parsed(text, path)
    except RecursionError:
        raise Failed(f"{path}: is nested too deeply") from None


def _parsed(text: str, path: str) -> list[Any]:
    with suppress(ValueError):  # JSON writes some letters in a way that YAML can't read: "\ud83d\udc69"
        return _steps(_json(text, path), path)
    import yaml

    from cli.plan_yaml import load

    try:
        return _steps(load(text), path)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise Failed(f"{path}:{line}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise Failed(f"{path}: {clean(error)}") from None


def _json(text: str, where: str) -> Any:  # noqa: ANN401
    """Raises ValueError for what is no JSON, and Failed for what gives a key twice, of which one would be lost."""

    def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for key, value in pairs:
            if key in given:
                raise Failed(f"{where}: {key!r} is given twice; leave one out")
            given[key] = value
        return given

    return json.loads(text, object_pairs_hook=once_each)


def from_argument(argument: str) -> list[Any]:
    """The steps of `--json`: text, `@FILE`, or `-` for standard input. Raises Failed."""
    if argument.startswith("@"):
        return from_file(argument[1:])
    text = _read("-") if argument == "-" else argument
    try:
        return _steps(_json(text, "--json"), "--json")
    except RecursionError:
        raise Failed("--json: is nested too deeply") from None
    except ValueError as error:
        raise Failed(f"--json: {error}") from None


def planned(steps: Sequence[StepShown]) -> list[dict[str, Any]]:
    """Steps as the gateway shows them in the form of a plan, in an order that reads well."""
    from cli.graph import in_order

    ordered = in_order(steps)
    names: dict[UUID, str] = {}
    taken: set[str] = set()
    for step in ordered:  # names are each their own within a planning, not among several
        name, number = step.name, 2
        while name in taken:
            name, number = f"{step.name} ({number})", number + 1
        names[step.id] = name
        taken.add(name)
    return [
        {
            "name": names[step.id],
            **_filled(
                description=step.description,
                task_plan=step.task_plan,
                depends_on=[names[need] for need in step.depends_on if need in names],
                order_index=step.order_index,
                files=step.files,
                agent=step.agent,
                model=step.model,
                labels=step.labels,
            ),
        }
        for step in ordered
    ]


def _filled(**values: object) -> dict[str, object]:
    return {key: value for key, value in values.items() if value}


def to_yaml(title: str, goal: str, steps: Sequence[StepShown]) -> str:
    """A plan file with the title and the goal as comments; long texts as blocks."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as blocks."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        plain = all(line.isprintable() for line in value.split("\n"))  # else escaped: YAML has line breaks of its own
        style = ("|" if "\n" in value else None) if plain else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    head = "".join(f"# {clean(line)}\n" for line in [title, "", *goal.splitlines()])
    body = yaml.dump({"steps": planned(steps)}, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)
    return f"{head}\n{_visible(body)}"


def _visible(body: str) -> str:
    """YAML with what nobody sees escaped: it stands in double quotes, where yaml leaves much of it as it is."""
    return "".join(c if c == "\n" or c.isprintable() else f"\\U{ord(c):08x}" for c in body)


def text_of(argument: str, name: str) -> str:
    """A longer text: as it stands, from `@FILE`, or from standard input for `-`. Raises Failed."""
    if argument == "-":
        return _read("-")
    if not argument.startswith("@"):
        return argument
    try:
        return _read(argument[1:])
    except Failed as error:
        raise Failed(f"{name}: {error}") from None


def _read(path: str) -> str:
    """A file's text; that of standard input for `-`, which a person at a terminal is told of. Raises Failed."""
    if path == "-" and sys.stdin is None:
        raise Failed("- is standard input, and that is closed: pipe a text in, or name a file")
    if path == "-" and sys.stdin.isatty():
        raise Failed("- is standard input, and that is a terminal: pipe a text in, or name a file")
    where = STANDARD_INPUT if path == "-" else path
    try:
        return sys.stdin.buffer.read().decode() if path == "-" else Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise Failed(f"{where}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Failed(f"{where}: is no UTF-8 text") from None


def _steps(value: object, where: str) -> list[Any]:
    if isinstance(value, dict) and (unknown := sorted(map(str, value.keys() - {"steps"}))):
        raise Failed(f"{where}: unknown key {unknown[0]!r}; a plan has `steps:` and nothing beside it")
    steps = value.get("steps") if isinstance(value, dict) else value
    if not isinstance(steps, list):
        raise Failed(f"{where}: holds no list of steps; give `steps:` with a list, or a bare list")
    if _is_deep(steps):
        raise Failed(f"{where}: is nested too deeply")
    return steps


def _is_deep(value: object) -> bool:
    """Whether lists and mappings are nested more than DEEPEST deep. What YAML names again is looked at once a level."""
    level = [value]
    for _ in range(DEEPEST):
        below = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = list({id(one): one for some in below for one in some}.values())
    return bool(level)
