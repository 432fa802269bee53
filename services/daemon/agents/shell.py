"""`shell`: a script. A step's plan is one; a planning runs the last fenced sh block of its goal."""

from __future__ import annotations

from services.daemon.agents.adapter import AgentFailed, Assignment, Launch
from services.daemon.agents.events import Event, Raw
from shared.domain.plans import scripts

CANT_PLAN = (
    "the shell agent can't plan prose: name a coding agent (`makima directive update ID --agent claude`) and replan, "
    "give a --plan, or a fenced sh block"
)


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
    if not (blocks := scripts(assignment.task_plan)):
        raise AgentFailed(CANT_PLAN)
    return blocks[-1]
