"""The description of the HTTP interface as a page to read. It is whole: it loads nothing, and runs no script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1f }
code, .path { font-family: ui-monospace, monospace; font-size: .9em }
details { border: 1px solid #ccc; border-radius: 6px; margin: .4rem 0; padding: .4rem .8rem }
summary { cursor: pointer } table { border-collapse: collapse; width: 100% }
td { border-top: 1px solid #ddd; padding: .25rem .6rem .25rem 0; vertical-align: top }
.method { display: inline-block; width: 4.5rem; font-weight: 700 }
@media (prefers-color-scheme: dark) { body { background: #16161a; color: #e6e6ea } details, td { border-color: #444 } }
"""
Described = Mapping[str, Any]


def rendered(description: Described) -> bytes:
    """The page."""
    return "".join(_page(description)).encode()


def _page(schema: Described) -> Iterator[str]:
    title = escape(schema["info"]["title"])
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    yield f"<h1>{title}</h1><p>{escape(schema['info']['description'])}</p>"
    yield '<p>For programs: <a href="/schema/openapi.json">JSON</a>, <a href="/schema/openapi.yaml">YAML</a>.</p>'
    for tag in schema["tags"]:
        yield f"<h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}</p>"
        for path, item in schema["paths"].items():
            for method in METHODS:
                if tag["name"] in item.get(method, {}).get("tags", ()):
                    yield from _operation(method, path, item[method])
    yield "<h2>Shapes</h2>"
    for name, shape in sorted(schema["components"]["schemas"].items()):
        yield from _shape(name, shape)
    yield "</html>"


def _operation(method: str, path: str, operation: Described) -> Iterator[str]:
    says, _, more = operation.get("description", operation.get("summary", "")).partition("\n")
    yield f'<details><summary><span class="method">{method.upper()}</span><span class="path">{escape(path)}</span>'
    yield f" {escape(says)}</summary><p>{escape(more.strip())}</p>"
    rows = [
        (f"<code>{escape(p['name'])}</code> {p['in']}", _type(p.get("schema", {})), escape(p.get("description", "")))
        for p in operation.get("parameters", ())
    ]
    rows += [
        ("body", _type(content["schema"]), "")
        for content in operation.get("requestBody", {}).get("content", {}).values()
    ]
    yield from _table("Takes", rows)
    yield from _table("Answers", [_answer(status, told) for status, told in operation["responses"].items()])
    yield "</details>"


def _answer(status: str, told: Described) -> tuple[str, str, str]:
    shapes = ", ".join(f"{_type(c.get('schema', {}))} {escape(kind)}" for kind, c in told.get("content", {}).items())
    headers = "".join(f" <code>{escape(name)}</code>" for name in told.get("headers", ()))
    return (f"<code>{status}</code>", shapes, escape(told["description"]) + headers)


def _shape(name: str, shape: Described) -> Iterator[str]:
    yield f'<details id="{escape(name)}"><summary><code>{escape(name)}</code> {escape(shape.get("description", ""))}'
    yield "</summary>"
    if "enum" in shape:
        yield f"<p>{_type(shape)}</p>"
    required = shape.get("required", ())
    rows = [
        (
            f"<code>{escape(field)}</code>{'' if field in required else ' (optional)'}",
            _type(told),
            escape(told.get("description", "")),
        )
        for field, told in shape.get("properties", {}).items()
    ]
    yield from _table("", rows)
    yield "</details>"


def _type(told: Described) -> str:
    """A schema in a few words, with links to the shapes that it names."""
    if ref := told.get("$ref"):
        name = escape(ref.rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "oneOf" in told:
        return " or ".join(_type(one) for one in told["oneOf"])
    if "enum" in told:
        return " | ".join(f"<code>{escape(str(one))}</code>" for one in told["enum"])
    kind = told.get("type", "anything")
    if kind == "array":
        return f"list of {_type(told.get('items', {}))}"
    return escape(told.get("format") or (" or ".join(kind) if isinstance(kind, list) else kind))


def _table(head: str, rows: list[tuple[str, str, str]]) -> Iterator[str]:
    if rows:
        cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
        yield f"<h4>{head}</h4><table>{cells}</table>"
