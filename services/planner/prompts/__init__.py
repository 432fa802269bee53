"""The planner's prompts: pure functions of typed arguments, a template each."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

_templates = Environment(
    loader=PackageLoader("services.planner", "prompts"),
    undefined=StrictUndefined,
    autoescape=False,
    keep_trailing_newline=True,
)


def plan(*, title: str, goal: str, repository: str | None) -> str:
    """The prompt of a first planning."""
    return _templates.get_template("plan.md.j2").render(title=title, goal=goal, repository=repository)
