"""`claude`: Claude Code's command line, `-p` with stream-json both ways.

https://docs.claude.com/en/docs/claude-code/cli-reference. Recorded lines: tests/unit/test_agents.py.
"""

from __future__ import annotations

import re
import shutil
import time
from datetime import datetime
from pathlib import Path

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

DEFAULT_PERMISSION_MODE = "acceptEdits"
DEFAULT_TOOLS = ("Bash", "Edit", "Write", "Read", "NotebookEdit", "WebFetch", "WebSearch", "Task")
LONGEST_WAIT_SECONDS = 120.0
"""A retry that it would wait longer for is a limit: its slot goes to others meanwhile."""

_ERRORS = {
    "authentication_failed": Trouble.SIGNED_OUT,
    "oauth_org_not_allowed": Trouble.SIGNED_OUT,
    "billing_error": Trouble.NO_CREDIT,
    "rate_limit": Trouble.LIMITED,
    "overloaded": Trouble.UNAVAILABLE,
    "server_error": Trouble.UNAVAILABLE,
    "model_not_found": Trouble.REFUSED,
}
"""By the kind that it gives an error."""
_STATUSES = {401: Trouble.SIGNED_OUT, 402: Trouble.NO_CREDIT, 403: Trouble.REFUSED, 429: Trouble.LIMITED}
_SUBTYPES = {"error_max_turns": Trouble.TURNS, "error_max_budget_usd": Trouble.BUDGET}
_WORDS = (
    (re.compile(r"No conversation found"), Trouble.SESSION),
    (re.compile(r"prompt is too long|context (?:window|limit)|request too large", re.I), Trouble.TOO_LONG),
    (
        re.compile(
            r"credit balance|usage credits|spend limit|out of (?:extra )?usage|limit is set to \$0|doesn't include",
            re.I,
        ),
        Trouble.NO_CREDIT,
    ),
    (re.compile(r"regain access|usage limits?\b|limit reached", re.I), Trouble.LIMITED),
    (re.compile(r"\b403\b"), Trouble.REFUSED),
    (re.compile(r"disabled (?:organization|API key)|/login|API key", re.I), Trouble.SIGNED_OUT),
    (
        re.compile(r"overloaded|at capacity|timed out|unable to connect|connection|malformed response|high load", re.I),
        Trouble.UNAVAILABLE,
    ),
)
"""By its words, where they say more than the kind does; the first that fits."""


class _Block(msgspec.Struct):
    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: dict[str, object] = {}
    tool_use_id: str = ""
    content: str | list[dict[str, object]] | None = None
    is_error: bool | None = None


class _Tokens(msgspec.Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int | None = None


class _Message(msgspec.Struct):
    content: str | list[_Block] = ""
    id: str = ""
    model: str = ""
    usage: _Tokens = msgspec.field(default_factory=_Tokens)


class _StreamEvent(msgspec.Struct):
    type: str = ""
    message: _Message | None = None
    usage: _Tokens = msgspec.field(default_factory=_Tokens)


class _ModelUsage(msgspec.Struct, rename="camel"):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0


class _RateLimit(msgspec.Struct, rename="camel"):
    status: str = ""
    resets_at: float | None = None


class _Denial(msgspec.Struct):
    tool_name: str = "a tool"
    tool_input: dict[str, object] = {}


class _Line(msgspec.Struct):
    type: str
    subtype: str = ""
    session_id: str = ""
    message: _Message | None = None
    error: str | None = None
    is_error: bool = False
    result: str | None = None
    errors: list[str] = []
    api_error_status: int | None = None
    total_cost_usd: float | None = None
    model_usage: dict[str, _ModelUsage] = msgspec.field(name="modelUsage", default={})
    retry_delay_ms: float = 0.0
    error_status: int | None = None
    rate_limit_info: _RateLimit | None = None
    event: _StreamEvent | None = None
    parent_tool_use_id: str | None = None
    permission_denials: list[_Denial] = []


_decoder = msgspec.json.Decoder(_Line)


class Claude:
    """Its standard input stays open until its result, so that it can be told more."""

    speaks = True

    def __init__(self) -> None:
        self._session = ""
        self._error: str | None = None
        """The kind of the error that it ends with."""
        self._reset: float | None = None
        """Until when it is limited, by the wall clock."""
        self._answers: dict[str, tuple[str, int]] = {}
        """The answer that is being given and what it read, by who gives it: the agent, or one of its own."""
        self._taken: dict[str, int] = {}
        """Tokens by answer. It is said at an answer's start, with its parts (as of the start), and at its end."""

    def start(self, assignment: Assignment) -> Launch:
        """A new session gets the id that it was handed, so that it is known before the first word."""
        settings = assignment.settings
        tools = DEFAULT_TOOLS if settings.allowed_tools is None else settings.allowed_tools
        if assignment.resumes:
            _bring_session(assignment)
        argv = [
            *(settings.command or ("claude",)),
            "-p",
            *("--input-format", "stream-json", "--output-format", "stream-json", "--verbose"),
            "--include-partial-messages",  # else an answer that is cut off, or its end, is not counted
            *(("--resume",) if assignment.resumes else ("--session-id",)),
            assignment.session,
            *("--permission-mode", settings.permission_mode or DEFAULT_PERMISSION_MODE),
            *(("--allowedTools", ",".join(tools)) if tools else ()),
            *(("--model", settings.model) if settings.model else ()),
            *(("--max-turns", str(settings.max_turns)) if settings.max_turns else ()),
            *(("--max-budget-usd", f"{assignment.max_cost_usd:.4f}") if assignment.max_cost_usd else ()),
            *settings.extra_args,
        ]
        milliseconds = str(int(assignment.tool_seconds * 1000))
        return Launch(
            argv=tuple(argv),
            stdin=self.message(assignment.prompt),
            keeps_stdin=True,
            environment={
                "BASH_DEFAULT_TIMEOUT_MS": milliseconds,  # one limit of a tool call, the daemon's
                "BASH_MAX_TIMEOUT_MS": milliseconds,
                "DISABLE_AUTOUPDATER": "1",
            },
        )

    def message(self, text: str) -> bytes:
        """A user's message; it reads one whenever a turn of the model ends."""
        return msgspec.json.encode({"type": "user", "message": {"role": "user", "content": text}}) + b"\n"

    def read(self, line: str) -> tuple[Event, ...]:
        """See the table of recorded lines."""
        said = lines.read(_decoder, line)
        if said is None:
            return (Raw(line),)
        match said.type:
            case "system":
                return self._system(said)
            case "assistant" if said.message is not None:
                return self._assistant(said, said.message)
            case "user" if said.message is not None:
                return _tool_results(said.message)
            case "rate_limit_event" if said.rate_limit_info is not None:
                if said.rate_limit_info.status == "rejected":
                    self._reset = said.rate_limit_info.resets_at
                return ()
            case "result":
                return self._result(said)
            case "stream_event" if said.event is not None:
                return self._streamed(said.event, said.parent_tool_use_id or "")
            case "stream_event" | "keep_alive" | "control_response":
                return ()
            case _:
                return (Raw(line),)

    def _system(self, said: _Line) -> tuple[Event, ...]:
        if said.subtype == "init" and said.session_id and said.session_id != self._session:
            self._session = said.session_id
            return (Session(said.session_id),)
        if said.subtype != "api_retry":
            return ()
        trouble = _ERRORS.get(said.error or "", Trouble.OTHER)
        seconds = said.retry_delay_ms / 1000
        why = f"{said.error or 'an error'} {said.error_status or ''}".strip()
        if trouble is Trouble.SIGNED_OUT:
            return (Problem(trouble, why),)
        if seconds > LONGEST_WAIT_SECONDS:
            return (Problem(trouble, why, seconds),)
        return (Waiting(f"{why}, again in {seconds:.0f} s"),)

    def _assistant(self, said: _Line, message: _Message) -> tuple[Event, ...]:
        if said.error is not None:
            self._error = said.error
            return ()  # its words come again in the result
        blocks = message.content if isinstance(message.content, list) else [_Block("text", message.content)]
        events: list[Event] = []
        for block in blocks:
            if block.type == "text":
                events.append(Text(block.text))
            elif block.type == "tool_use":
                events.append(ToolCall(block.id, block.name, _detail(block.input)))
        return (*events, self._took(message.id, _tokens(message.usage)))

    def _streamed(self, event: _StreamEvent, by: str) -> tuple[Event, ...]:
        """What an answer takes: the prompt with its start, what was generated with its end."""
        if event.type == "message_start" and event.message is not None:
            said, used = event.message.id, event.message.usage
            self._answers[by] = (said, _tokens(used) - used.output_tokens)
            return (self._took(said, _tokens(used)),)
        if event.type == "message_delta" and by in self._answers:
            answer, read = self._answers[by]
            return (self._took(answer, read + event.usage.output_tokens),)
        return ()

    def _took(self, answer: str, tokens: int) -> Usage:
        self._taken[answer] = max(tokens, self._taken.get(answer, 0))
        return Usage(answer, self._taken[answer])

    def _result(self, said: _Line) -> tuple[Event, ...]:
        text = said.result or "; ".join(said.errors)
        tokens = sum(
            m.input_tokens + m.output_tokens + m.cache_creation_input_tokens for m in said.model_usage.values()
        )
        result = Result(not said.is_error, text, said.total_cost_usd, tokens)
        if not said.is_error:
            return (*(Denied(d.tool_name, _detail(d.tool_input)) for d in said.permission_denials), result)
        trouble = _SUBTYPES.get(said.subtype) or self._trouble(said, text)
        seconds = None
        if trouble is Trouble.NO_CREDIT and self._until(text) is not None:
            trouble = Trouble.LIMITED
        if trouble is Trouble.LIMITED:
            seconds = self._until(text)
        return (result, Problem(trouble, text or "no reason given", seconds))

    def _trouble(self, said: _Line, text: str) -> Trouble:
        """What is wrong: by its words, else by the kind that it gave the error, else by the server's status."""
        status = said.api_error_status or 0
        if self._error or status or said.errors:
            for words, trouble in _WORDS:
                if words.search(text):
                    return trouble
        if status >= 500:
            return Trouble.UNAVAILABLE
        return _ERRORS.get(self._error or "") or _STATUSES.get(status) or Trouble.OTHER

    def _until(self, text: str) -> float | None:
        """Seconds until its limit is reset, as far as it said that."""
        if self._reset is not None:
            return max(self._reset - time.time(), 1.0)
        return seconds_until(text, datetime.now().astimezone())


def _tokens(used: _Tokens) -> int:
    return used.input_tokens + (used.cache_creation_input_tokens or 0) + used.output_tokens


def _detail(given: dict[str, object]) -> str:
    """What matters of a tool's input: its command, its file, else all of it."""
    for key in ("command", "file_path", "path", "pattern", "url", "query", "prompt"):
        if isinstance(value := given.get(key), str):
            return value
    return lines.text_of(given) if given else ""


def _tool_results(message: _Message) -> tuple[Event, ...]:
    blocks = message.content if isinstance(message.content, list) else []
    return tuple(
        ToolResult(b.tool_use_id, _words(b.content), bool(b.is_error)) for b in blocks if b.type == "tool_result"
    )


def _words(content: str | list[dict[str, object]] | None) -> str:
    if isinstance(content, str) or content is None:
        return content or ""
    texts = (part.get("text") for part in content)
    return "\n".join(
        t if isinstance(t, str) else f"[{p.get('type', '')!s:.40}]" for t, p in zip(texts, content, strict=True)
    )


def _bring_session(assignment: Assignment) -> None:
    """It keeps a session by the folder that it began in, and each attempt has a folder of its own: copy it there.

    The sessions' folder is the agent's to write to: what is a link in it is none of the daemon's.
    """
    base = assignment.environment.get("CLAUDE_CONFIG_DIR")
    projects = (Path(base) if base else Path(assignment.environment.get("HOME", "/")) / ".claude") / "projects"
    here = projects / re.sub(r"[^A-Za-z0-9]", "-", str(assignment.worktree.resolve()))
    name = f"{assignment.session}.jsonl"
    try:
        known = [f for f in projects.glob(f"*/{name}") if not f.is_symlink() and not f.parent.is_symlink()]
        newest = max(known, key=lambda f: f.stat().st_mtime, default=None)
        if newest is not None and newest.parent != here and not here.is_symlink():
            here.mkdir(exist_ok=True)
            (here / name).unlink(missing_ok=True)
            shutil.copyfile(newest, here / name)
    except OSError:
        return  # then it says itself that it doesn't know the session
