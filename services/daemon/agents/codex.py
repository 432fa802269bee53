"""`codex`: Codex's command line, `exec --json`.

https://developers.openai.com/codex/noninteractive. Recorded lines: tests/unit/test_agents.py.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime

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
from services.daemon.agents.resets import seconds_until
from shared.config.agents import Price

DEFAULT_SANDBOX = "workspace-write"
DECLINED = "declined"
"""The status of what its sandbox or its approval policy did not let it do."""
_STATUS = re.compile(r"(?:unexpected|last) status:? (\d{3})\b")
_STATUSES = {
    401: Trouble.SIGNED_OUT,
    402: Trouble.NO_CREDIT,
    403: Trouble.REFUSED,
    404: Trouble.REFUSED,
    429: Trouble.LIMITED,
}
_WORDS = (
    (re.compile(r"no rollout found"), Trouble.SESSION),
    (re.compile(r"context window|context_length|maximum context length", re.I), Trouble.TOO_LONG),
    (
        re.compile(
            r"insufficient_quota|current quota|quota exceeded|out of credits|spend cap|billing|upgrade to plus: ", re.I
        ),
        Trouble.NO_CREDIT,
    ),
    (re.compile(r"usage limit|rate.?limit|too many requests", re.I), Trouble.LIMITED),
    (
        re.compile(
            r"\b401\b|unauthorized|not logged in|(?:invalid|incorrect) api key|access token could not be refreshed"
            r"|sign in again|missing environment variable",
            re.I,
        ),
        Trouble.SIGNED_OUT,
    ),
    (re.compile(r"\bmodel\b.{0,80}\b(?:does not exist|is not supported)", re.I), Trouble.REFUSED),
    (
        re.compile(
            r"high demand|overloaded|at capacity|capacity is unavailable|stream disconnected|connection failed"
            r"|error sending request|timed? ?out|server had an error",
            re.I,
        ),
        Trouble.UNAVAILABLE,
    ),
)
"""By its words, where no status says it; the first that fits."""
_SETTINGS = (
    "sandbox_workspace_write.network_access=true",  # its commands must reach makima
    "allow_login_shell=false",  # a profile would put another PATH in the place of the one that has makima
    'shell_environment_policy={inherit="all",ignore_default_excludes=true,exclude=["*_API_KEY"]}',  # its token, too
)
_RETRIES = re.compile(r"^Reconnecting")
LONGEST_WAIT_SECONDS = 120.0
"""Without a network it tries for ever: after so long its slot goes to others."""


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

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waits_since: float | None = None
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
            return self._plain(line)
        if said.type != "error":
            self._waits_since = None
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
                return (self._waits(said.message),) if _RETRIES.match(said.message) else (_problem(said.message),)
            case _:
                return (Raw(line),)

    def _waits(self, why: str) -> Event:
        """It tries again by itself, up to what it is given for that."""
        now = self._clock()
        self._waits_since = self._waits_since or now
        return _problem(why) if now - self._waits_since > LONGEST_WAIT_SECONDS else Waiting(why)

    def _plain(self, line: str) -> tuple[Event, ...]:
        """What is no JSON: an error before its conversation began is said like that, and is its last word."""
        return (Raw(line), _problem(line)) if line.startswith("Error: ") else (Raw(line),)

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
    """What is wrong: by the server's status, where its words don't say more."""
    found = _STATUS.search(text)
    status = int(found[1]) if found else 0
    worded = next((trouble for words, trouble in _WORDS if words.search(text)), Trouble.OTHER)
    trouble = Trouble.UNAVAILABLE if status >= 500 else _STATUSES.get(status, worded)
    if trouble is Trouble.LIMITED and worded is Trouble.NO_CREDIT:
        trouble = worded
    return Problem(
        trouble, text, seconds_until(text, datetime.now().astimezone()) if trouble is Trouble.LIMITED else None
    )
