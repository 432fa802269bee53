"""`command`: any program, by an argv template of the settings. The prompt is its standard input.

In the template `{prompt_file}` is a file that holds the prompt, `{session}` the session's id. What it prints is kept;
a line that is a JSON object with a known "type" is read as that event: session, text, tool, tool_result, denied, usage,
problem (its "name" says which), result.
"""

from __future__ import annotations

import msgspec

from services.daemon.agents import lines
from services.daemon.agents.adapter import AgentFailed, Assignment, Launch
from services.daemon.agents.events import (
    Denied,
    Event,
    Problem,
    Raw,
    Result,
    Session,
    Text,
    ToolCall,
    ToolResult,
    Trouble,
    Usage,
)


class _Line(msgspec.Struct):
    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    ok: bool = True
    tokens: int | None = None
    cost_usd: float | None = None


_TROUBLES = {trouble.value: trouble for trouble in Trouble}
_decoder = msgspec.json.Decoder(_Line)


class Command:
    """Its exit code is its result, unless it says one itself."""

    speaks = False

    def start(self, assignment: Assignment) -> Launch:
        """The template filled in. Raises AgentFailed when the settings name no command."""
        if not assignment.settings.command:
            raise AgentFailed("this agent has no command: set `command` in its [agents] table")
        prompt = assignment.prompt.encode(errors="replace")
        file = assignment.folder / "prompt.md"
        file.write_bytes(prompt)
        values = {
            "{prompt_file}": str(file),
            "{session}": assignment.session,
            "{model}": assignment.settings.model or "",
        }
        argv = [values.get(part, part) for part in assignment.settings.command]
        return Launch(argv=(*argv, *assignment.settings.extra_args), stdin=prompt)

    def read(self, line: str) -> tuple[Event, ...]:
        """A JSON line of a known type is an event, any other is kept."""
        if not line.startswith("{"):
            return (Raw(line),)
        said = lines.read(_decoder, line)
        if said is None:
            return (Raw(line),)
        match said.type:
            case "session":
                return (Session(said.id),)
            case "text":
                return (Text(said.text),)
            case "tool":
                return (ToolCall(said.id, said.name, said.text),)
            case "usage":
                return (Usage(said.id, said.tokens or 0),)
            case "tool_result":
                return (ToolResult(said.id, said.text, not said.ok),)
            case "denied":
                return (Denied(said.name or "a tool", said.text),)
            case "problem":
                return (Problem(_TROUBLES.get(said.name, Trouble.OTHER), said.text),)
            case "result":
                return (Result(said.ok, said.text, said.cost_usd, said.tokens),)
            case _:
                return (Raw(line),)

    def message(self, text: str) -> bytes | None:  # noqa: ARG002 - its standard input is closed after the prompt
        """It can't be told anything."""
        return None
