"""How a service's prompts are rendered: the templates of its own package, with everything that they need given."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from shared.domain.texts import quoted


def templates(package: str) -> Environment:
    """The templates in `prompts` of a service's package. A name that isn't given raises UndefinedError; `quote` marks
    what people and agents typed, so that nothing in it is taken for a part of the prompt."""
    environment = Environment(
        loader=PackageLoader(package, "prompts"),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["quote"] = quoted
    return environment
