"""The places that commit or send, found in the source: each with its failpoints, or a complaint that it has none."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
RAW = frozenset({"send_multipart", "commit", "transaction", "fsync"})
"""Calls that commit or send by themselves. Everything else goes through a function that holds one of them."""
NAMED = {
    "unit_of_work": ("before_commit", "after_commit"),
    "begin": ("before_commit", "after_commit"),
    "begin_on": ("before_commit", "after_commit"),
    "send": ("before_send", "after_send"),
}
"""Calls that take a place's name, and the moments at which they reach it."""
ENDPOINTS = ("events-out", "commands", "daemons", "reports")
PUBLISHERS = ("planner", "executor", "monitor", "completer", "gateway")


@dataclass
class Places:
    """What was found."""

    points: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def scan() -> Places:
    """Read the whole source of services and of what they share."""
    found = Places()
    found.points += [f"broker.{e}.{m}" for e in ENDPOINTS for m in ("before_send", "after_send")]
    found.points += [f"{p}.events.{m}" for p in PUBLISHERS for m in ("before_publish", "after_publish")]
    for top in ("services", "shared"):
        for path in sorted((ROOT / top).rglob("*.py")):
            _scan(path, found)
    doubled = {p for p in found.points if found.points.count(p) > 1 and not p.startswith("daemon.git.")}
    found.complaints += [f"{point} names two places" for point in sorted(doubled)]
    found.points = sorted(set(found.points))
    return found


def _scan(path: Path, found: Places) -> None:
    name = str(path.relative_to(ROOT))
    for function in ast.walk(ast.parse(path.read_text())):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        calls = list(_calls(function))
        hits = [line for line, called, _ in calls if called == "hit"]
        texts = [[a.value for a in c.args if isinstance(a, ast.Constant)] for _, called, c in calls if called == "hit"]
        found.points += [".".join(map(str, t)) for t in texts if len(t) == 2]
        for line, called, call in calls:
            where = f"{name}:{line}"
            if called in RAW:
                if not (any(at < line for at in hits) and any(at > line for at in hits)):
                    found.complaints.append(f"{where} {called} has no failpoint before and after it")
            elif called in ("git", "names") and len(call.args) > 1 and isinstance(call.args[1], ast.Constant):
                found.points += [f"daemon.git.{call.args[1].value}.{moment}" for moment in ("before", "after")]
            elif called in NAMED and (place := _place(called, call)) is not None:
                if not place.startswith(name.split("/")[1] + "."):
                    found.complaints.append(f"{where} {called} names no place of its service: {place!r}")
                found.points += [f"{place}.{moment}" for moment in NAMED[called]]


def _place(called: str, call: ast.Call) -> str | None:
    """The place that a call names; None when it is another function of that name, or hands on what it was handed."""
    first = call.args[0] if call.args else None
    if isinstance(first, ast.Name) and first.id == "point":
        return None
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        return first.value
    return "" if called == "unit_of_work" else None


def _calls(function: ast.AST) -> Iterator[tuple[int, str, ast.Call]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            called = node.func
            yield node.lineno, called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", ""), node
