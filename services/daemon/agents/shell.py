"""`shell`: a script. A step's plan is one; a planning runs the last fenced sh block of its goal."""

from __future__ import annotations

import re

from services.daemon.agents.adapter import AgentFailed, Assignment, Launch
from services.daemon.agents.events import Event, Raw

CANT_PLAN = "the shell agent can't plan prose: give --plan, or a fenced sh block"
_FENCED = re.compile(r"^```sh[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


class Shell:
    """`bash -euo pipefail`; its exit code is its result."""

    speaks = False

    def start(self, assignment: Assignment) -> Launch:
        """The script's file lies in the run's folder. Raises AgentFailed for a planning without a script."""
        file = assignment.folder / "script.sh"
        file.write_text(script(assignment).replace("\0", ""), encoding="utf-8", errors="replace")
        return Launch(argv=("bash", "-euo", "pipefail", str(file)))

    def read(self, line: str) -> tuple[Event, ...]:
        """Every line is kept."""
        return (Raw(line),)

    def message(self, text: str) -> bytes | None:  # noqa: ARG002 - a script listens to nobody
        """It can't be told anything."""
        return None


def script(assignment: Assignment) -> str:
    """What it runs. Raises AgentFailed."""
    if assignment.kind != "plan":
        return assignment.task_plan
    blocks = _FENCED.findall(assignment.task_plan)
    if not blocks:
        raise AgentFailed(CANT_PLAN)
    return str(blocks[-1])
