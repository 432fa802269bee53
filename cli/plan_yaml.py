"""YAML as plans take it: every key once, no more than a request holds, and each error with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from yaml.constructor import ConstructorError

if TYPE_CHECKING:
    _Base = yaml.SafeLoader
else:
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MOST_LETTERS = 8 << 20
"""Of a document, with what it names again counted again: the gateway takes no larger one."""


class _Loader(_Base):
    """The safe one, which ends a value that its type can't be with Python's own errors."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, OverflowError):
            kind = node.tag.rpartition(":")[2]
            problem = f"{str(node.value)[:40]!r} is no {kind} that can be read; put it in quotes"
            raise ConstructorError(None, None, problem, node.start_mark) from None


def load(text: str) -> Any:  # noqa: ANN401
    """What a document says. Raises yaml.YAMLError, and RecursionError where it is nested too deeply or in itself."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _measure(node: yaml.Node, known: dict[int, int | None]) -> int:
    """The letters that a node stands for. Raises ConstructorError for too many, and for a key that is given twice."""
    if id(node) in known:
        if (letters := known[id(node)]) is None:
            raise RecursionError
        return letters
    if isinstance(node, yaml.ScalarNode):
        return len(node.value) + 1
    known[id(node)] = None
    if isinstance(node, yaml.MappingNode):
        _refuse_doubled(node)
    parts = [one for pair in node.value for one in (pair if isinstance(pair, tuple) else (pair,))]
    letters = sum(_measure(part, known) for part in parts) + 1
    if letters > MOST_LETTERS:
        said = f"stands for more than {MOST_LETTERS >> 20} MiB, with what it names again: add fewer steps at once"
        raise ConstructorError(None, None, said, node.start_mark)
    known[id(node)] = letters
    return letters


def _refuse_doubled(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise ConstructorError(None, None, f"{key.value!r} is given twice; leave one out", key.start_mark)
            seen.add(key.value)
