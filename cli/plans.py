"""Plans from files and arguments: YAML or JSON, `steps:` or a bare list."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from cli.client import Failed


def from_file(path: str) -> list[Any]:
    """The steps in a plan file. Raises Failed, with the line where there is one."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Failed(f"{path}: is no UTF-8 text") from None
    import yaml

    try:
        return _steps(yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)), path)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise Failed(f"{path}:{line}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise Failed(f"{path}: {error}") from None


def from_argument(argument: str) -> list[Any]:
    """The steps of `--json`: text, `@FILE`, or `-` for standard input. Raises Failed."""
    if argument.startswith("@"):
        return from_file(argument[1:])
    text = sys.stdin.read() if argument == "-" else argument
    try:
        return _steps(json.loads(text), "--json")
    except ValueError as error:
        raise Failed(f"--json: {error}") from None


def _steps(value: object, where: str) -> list[Any]:
    steps = value.get("steps") if isinstance(value, dict) else value
    if not isinstance(steps, list):
        raise Failed(f"{where}: holds no list of steps; give `steps:` with a list, or a bare list")
    return steps
