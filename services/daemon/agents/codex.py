"""`codex`: Codex's command line, `exec --json`.

https://developers.openai.com/codex/noninteractive. Recorded lines: tests/unit/test_agents.py.
"""

from __future__ import annotations

import re

import msgspec

from services.daemon.agents import lines
from services.daemon.agents.adapter import Assignment, Launch
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
    Waiting,
)
from shared.config.agents import Price

DEFAULT_SANDBOX = "workspace-write"
DECLINED = "declined"
"""The status of what its sandbox or its approval policy did not let it do."""
_SIGNED_OUT = re.compile(
    r"\b401\b|unauthorized|not logged in|invalid api key|incorrect api key|insufficient_quota", re.I
)
_LIMITED = re.compile(r"\b429\b|usage limit|rate limit|rate_limit", re.I)
_OVERLOADED = re.compile(r"high demand|overloaded|stream disconnected|\b50[234]\b", re.I)
_AGAIN_IN = re.compile(
    r"try again in (?:(\d{1,9}) days?)?\D{0,5}(?:(\d{1,9}) hours?)?\D{0,5}(?:(\d{1,9}) minutes?)?", re.I
)
_AGAIN_IN_SECONDS = re.compile(r"try again in (\d{1,9}(?:\.\d{1,9})?) ?s(?:ec|\b)", re.I)
_SETTINGS = (
    "sandbox_workspace_write.network_access=true",  # its commands must reach makima
    "allow_login_shell=false",  # a profile would put another PATH in the place of the one that has makima
    'shell_environment_policy={inherit="all",ignore_default_excludes=true,exclude=["*_API_KEY"]}',  # its token, too
)
_NO_SESSION = "no rollout found"
_RETRIES = re.compile(r"^Reconnecting")


class _Item(msgspec.Struct):
    type: str
    id: str = ""
    text: str = ""
    message: str = ""
    command: str = ""
    aggregated_output: str = ""
    exit_code: int | None = None
    status: str = ""
    changes: list[dict[str, object]] = []
    server: str = ""
    tool: str = ""
    query: str = ""


class _Tokens(msgspec.Struct):
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0


class _Error(msgspec.Struct):
    message: str = ""


class _Line(msgspec.Struct):
    type: str
    thread_id: str = ""
    item: _Item | None = None
    usage: _Tokens | None = None
    error: _Error | None = None
    message: str = ""


_decoder = msgspec.json.Decoder(_Line)


class Codex:
    """It names its session itself; it says tokens, but no cost: that is by the prices of the settings."""

    speaks = True

    def __init__(self) -> None:
        self._words = ""
        self._turn = 0
        self._spent = 0
        """Tokens that its session took before: what it says is the sum of the whole session."""
        self._price = Price()

    def start(self, assignment: Assignment) -> Launch:
        """The prompt is its standard input."""
        settings = assignment.settings
        self._spent = assignment.spent_tokens if assignment.resumes else 0
        self._price = settings.price
        argv = [
            *(settings.command or ("codex",)),
            "exec",
            *("--json", "--skip-git-repo-check", "--color", "never"),
            *("--sandbox", settings.permission_mode or DEFAULT_SANDBOX),
            *(part for setting in _SETTINGS for part in ("-c", setting)),
            *(("--model", settings.model) if settings.model else ()),
            *settings.extra_args,
            *(("resume", assignment.session) if assignment.resumes else ()),
            "-",
        ]
        return Launch(argv=tuple(argv), stdin=assignment.prompt.encode(errors="replace"))

    def message(self, text: str) -> bytes | None:  # noqa: ARG002 - its standard input is closed after the prompt
        """It can't be told anything while it runs."""
        return None

    def read(self, line: str) -> tuple[Event, ...]:
        """See the table of recorded lines."""
        said = lines.read(_decoder, line)
        if said is None:
            return (Raw(line), Problem(Trouble.SESSION, line)) if _NO_SESSION in line else (Raw(line),)
        match said.type:
            case "thread.started":
                return (Session(said.thread_id),)
            case "turn.started":
                self._turn += 1
                return ()
            case "item.started" | "item.updated" | "item.completed" if said.item is not None:
                return self._item(said.type, said.item)
            case "turn.completed":
                u = said.usage or _Tokens()
                session = u.input_tokens - u.cached_input_tokens + u.output_tokens
                tokens = max(session - self._spent, 0)
                cost = _cost(u, self._price, tokens / session) if session and self._price.known else None
                return (Usage(f"turn-{self._turn}", tokens), Result(True, self._words, cost, tokens))
            case "turn.failed":
                text = said.error.message if said.error else "no reason given"
                return (Result(False, text), _problem(text))
            case "error":
                return (Waiting(said.message),) if _RETRIES.match(said.message) else (_problem(said.message),)
            case _:
                return (Raw(line),)

    def _item(self, kind: str, item: _Item) -> tuple[Event, ...]:
        begins, ends = kind == "item.started", kind == "item.completed"
        match item.type:
            case "agent_message" if ends:
                self._words = item.text
                return (Text(item.text),)
            case "command_execution" if ends and item.status == DECLINED:
                return (ToolResult(item.id, item.aggregated_output, True), Denied("shell", item.command))
            case "command_execution" if begins:
                return (ToolCall(item.id, "shell", item.command),)
            case "command_execution" if ends:
                failed = item.status == "failed" or bool(item.exit_code)
                return (ToolResult(item.id, item.aggregated_output, failed),)
            case "file_change" if ends:
                paths = ", ".join(path for c in item.changes if isinstance(path := c.get("path"), str))
                if item.status == DECLINED:
                    return (Denied("edit", paths),)
                return (ToolCall(item.id, "edit", paths), ToolResult(item.id, "", item.status == "failed"))
            case "mcp_tool_call" if begins:
                return (ToolCall(item.id, f"{item.server}.{item.tool}"),)
            case "mcp_tool_call" if ends:
                return (ToolResult(item.id, "", item.status == "failed"),)
            case "web_search" if ends:
                return (ToolCall(item.id, "web search", item.query), ToolResult(item.id))
            case "error" if ends:
                return (Text(f"[{item.message}]"),)
            case _:
                return ()


def _cost(used: _Tokens, price: Price, part: float) -> float:
    """In US dollars, of a part of the session: what an earlier run took is told in tokens of all kinds together."""
    fresh = used.input_tokens - used.cached_input_tokens
    dear = fresh * price.input + used.cached_input_tokens * price.cached + used.output_tokens * price.output
    return dear * part / 1_000_000


def _problem(text: str) -> Problem:
    if _SIGNED_OUT.search(text):
        return Problem(Trouble.SIGNED_OUT, text)
    if _LIMITED.search(text):
        return Problem(Trouble.LIMITED, text, _seconds(text))
    if _OVERLOADED.search(text):
        return Problem(Trouble.OVERLOADED, text)
    return Problem(Trouble.OTHER, text)


def _seconds(text: str) -> float | None:
    """How long until it may be tried again, as the words say it."""
    if match := _AGAIN_IN_SECONDS.search(text):
        return float(match[1])
    if match := _AGAIN_IN.search(text):
        days, hours, minutes = (int(g or 0) for g in match.groups())
        return days * 86400.0 + hours * 3600.0 + minutes * 60.0 or None
    return None
