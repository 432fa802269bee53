"""`just agent-recordings [NAME...]`: runs the real command lines of agents against models that follow a script, and
writes what they print as tests/unit/recorded/NAME.jsonl.

Each runs as the daemon runs it, with its own default settings: its retries, and so its waits, are the real ones. A case
that waits for minutes says so when it begins.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from services.daemon.agents.adapter import Assignment
from services.daemon.agents.events import Result
from services.daemon.agents.registry import adapter
from shared.config.agents import AgentSettings
from tests.agents import program
from tests.models.messages import messages_api
from tests.models.responses import responses_api
from tests.models.script import Answer, Break, Conversation, Edit, Fail, Refuse, Run, Say, Script, turns
from tests.models.server import Model

RECORDED = Path(__file__).parents[1] / "tests" / "unit" / "recorded"
SESSION = "00000000-0000-0000-0000-000000000007"
MAX_SECONDS = 900.0
AT_ONCE = 4
RESET = 4102444800
"""When recorded limits are reset, in seconds since 1970: 2100-01-01 00:00 UTC."""
_OF_THE_RECORDING = "WARNING: proceeding, even though we could not create PATH aliases"
"""Said because its home lies in a temporary folder."""
_KEPT_OF_INIT = ("type", "subtype", "cwd", "session_id", "model", "permissionMode", "claude_code_version", "uuid")


@dataclass(frozen=True)
class Case:
    """One run that is recorded."""

    kind: str
    script: Script
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the agent, over the defaults."""
    account: str = "key"
    """How it is signed in: with a key, as a subscriber, or not at all (none)."""
    session: str | None = None
    """The one that it resumes."""
    nobody_listens: bool = False
    """The model's server is down."""
    seconds: float | None = None
    """It goes on for ever, and is ended after so long."""


def always(answer: Answer) -> Script:
    """A script that answers so whatever it is asked."""
    return lambda _: answer


def refused(status: int, kind: str, message: str, headers: dict[str, str] | None = None, **more: object) -> Script:
    """A script that refuses every request."""
    return always(Refuse(status, kind, message, headers or {}, more))


def limited(claim: str, **more: str) -> Script:
    """What the Messages API answers a subscriber whose limit is reached."""
    headers = {"status": "rejected", "reset": str(RESET), "representative-claim": claim, **more}
    return refused(
        429,
        "rate_limit_error",
        "This request would exceed your account's rate limit. Please try again later.",
        {"retry-after": "86400", **{f"anthropic-ratelimit-unified-{k}": v for k, v in headers.items()}},
    )


def invalid(message: str) -> Script:
    """A request that the model's server finds no sense in."""
    return refused(400, "invalid_request_error", message)


CREDIT = (
    "Your credit balance is too low to access the Anthropic API. Please go "
    "to Plans & Billing to upgrade or purchase credits."
)
TOO_LONG = "prompt is too long: 208310 tokens > 200000 maximum"
SPEND = "You have reached your specified API usage limits. You will regain access on 2100-01-01 at 00:00 UTC."
QUOTA = "You exceeded your current quota, please check your plan and billing details."
RATE = "Rate limit reached for gpt-5 on tokens per min (TPM): Limit 30000. Please try again in 1.2s."
CAPACITY = "Our servers are currently overloaded. Please try again later."
WINDOW = "Your input exceeds the context window of this model. Please adjust your input and try again."
WORKS = turns([Say("looking"), Run("echo hi > f.txt; ls")], [Edit("g.txt", "x\n")], [Say("done it")])
HALF = "half a pair: \ud83d, and on"
HALF_IN_BYTES = "printf 'half a letter: \\xf0\\x9f, and on'"

CASES: dict[str, Case] = {
    "claude-works": Case("claude", WORKS),
    "claude-half-letters": Case("claude", turns([Run(HALF_IN_BYTES), Say(HALF)], [Say(f"done {HALF}")])),
    "claude-denied": Case(
        "claude", turns([Run("curl -s http://127.0.0.1:9/")], [Say("I could not.")]), {"allowed_tools": ("Read",)}
    ),
    "claude-signed-out": Case("claude", refused(401, "authentication_error", "invalid x-api-key")),
    "claude-no-key": Case("claude", WORKS, account="none"),
    "claude-token-expired": Case(
        "claude", refused(401, "authentication_error", "OAuth token has expired."), account="subscriber"
    ),
    "claude-forbidden": Case("claude", refused(403, "permission_error", "Your account may not use this model.")),
    "claude-organization-disabled": Case("claude", invalid("This organization has been disabled.")),
    "claude-no-credit": Case(
        "claude",
        invalid(CREDIT),
    ),
    "claude-spend-limit": Case(
        "claude",
        invalid(SPEND),
    ),
    "claude-limited": Case("claude", refused(429, "rate_limit_error", "too fast", {"retry-after": "1"})),
    "claude-limited-long": Case("claude", refused(429, "rate_limit_error", "too fast", {"retry-after": "3600"})),
    "claude-session-limit": Case("claude", limited("five_hour"), account="subscriber"),
    "claude-weekly-limit": Case("claude", limited("seven_day"), account="subscriber"),
    "claude-no-extra-usage": Case(
        "claude",
        limited("five_hour", **{"overage-status": "rejected", "overage-disabled-reason": "out_of_credits"}),
        account="subscriber",
    ),
    "claude-overloaded": Case("claude", refused(529, "overloaded_error", "Overloaded")),
    "claude-overloaded-subscriber": Case(
        "claude", refused(529, "overloaded_error", "Overloaded"), account="subscriber"
    ),
    "claude-overloaded-in-answer": Case("claude", always(Fail("overloaded_error", "Overloaded"))),
    "claude-unavailable": Case("claude", refused(503, "api_error", "Service Unavailable")),
    "claude-server-error": Case("claude", refused(500, "api_error", "Internal server error")),
    "claude-unreachable": Case("claude", WORKS, nobody_listens=True),
    "claude-broken": Case("claude", always(Break())),
    "claude-prompt-too-long": Case("claude", invalid(TOO_LONG)),
    "claude-conversation-too-long": Case(
        "claude", turns([Run("echo one")], [Run("echo two")], Refuse(400, "invalid_request_error", TOO_LONG))
    ),
    "claude-request-too-large": Case("claude", refused(413, "request_too_large", "Request exceeds the maximum size")),
    "claude-no-model": Case("claude", refused(404, "not_found_error", "model: claude-of-tomorrow")),
    "claude-turns": Case("claude", always([Run("true")]), {"max_turns": 1}),
    "claude-budget": Case("claude", always([Run("true")]), {"max_cost_usd": 0.0005}),
    "claude-no-session": Case("claude", WORKS, session=SESSION),
    "codex-works": Case("codex", turns([Run("echo hi; ls")], [Run("exit 3")], [Say("done")])),
    "codex-half-letters": Case("codex", turns([Run(HALF_IN_BYTES)], [Say("done")])),
    "codex-signed-out": Case("codex", refused(401, "invalid_request_error", "Incorrect API key provided")),
    "codex-no-key": Case("codex", WORKS, account="none"),
    "codex-no-credit": Case(
        "codex",
        refused(429, "insufficient_quota", QUOTA),
    ),
    "codex-no-credit-in-answer": Case(
        "codex",
        always(Fail("insufficient_quota", QUOTA)),
    ),
    "codex-limited": Case(
        "codex",
        refused(429, "usage_limit_reached", "The usage limit has been reached", plan_type="plus", resets_at=RESET),
    ),
    "codex-rate-limited": Case(
        "codex", refused(429, "rate_limit_exceeded", "Rate limit reached", {"retry-after": "1"})
    ),
    "codex-rate-limited-in-answer": Case(
        "codex",
        always(Fail("rate_limit_exceeded", RATE)),
    ),
    "codex-overloaded": Case("codex", refused(503, "server_error", "Overloaded")),
    "codex-overloaded-in-answer": Case("codex", always(Fail("server_is_overloaded", CAPACITY))),
    "codex-server-error": Case("codex", refused(500, "server_error", "The server had an error")),
    "codex-unreachable": Case("codex", WORKS, nobody_listens=True, seconds=60.0),
    "codex-broken": Case("codex", always(Break())),
    "codex-prompt-too-long": Case(
        "codex",
        always(Fail("context_length_exceeded", WINDOW)),
    ),
    "codex-forbidden": Case("codex", refused(403, "invalid_request_error", "Your account may not use this model.")),
    "codex-no-model": Case("codex", refused(404, "model_not_found", "The model does not exist")),
    "codex-no-session": Case("codex", WORKS, session="01a20f78-753e-7fd3-bf0d-a868c816d243"),
}


def main(names: Sequence[str]) -> int:
    """Record these cases, or all; the exit code."""
    if unknown := [n for n in names if n not in CASES]:
        print(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, seconds, count in pool.map(_record, names or list(CASES)):
            print(f"{name}: {count} lines in {seconds:.0f} s", flush=True)
    return 0


def _record(name: str) -> tuple[str, float, int]:
    began = time.monotonic()
    case = CASES[name]
    with tempfile.TemporaryDirectory() as folder, _model(case) as model:
        lines = [line for raw in _printed(case, model, Path(folder)) if (line := _kept(raw, folder, model.url))]
    (RECORDED / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name, time.monotonic() - began, len(lines)


@contextmanager
def _model(case: Case) -> Iterator[Model]:
    api: Callable[[Script], Any] = messages_api if case.kind == "claude" else responses_api

    def script(conversation: Conversation) -> Answer:
        return case.script(conversation)

    with api(script) as model:
        yield model


def _printed(case: Case, model: Model, folder: Path) -> Iterator[str]:
    """What it prints, line by line, from both of its outputs."""
    work, home = folder / "work", folder / "home"
    for one in (work, home):
        one.mkdir()
    subprocess.run(("git", "init", "-q", str(work)), check=True)
    url = "http://127.0.0.1:9" if case.nobody_listens else model.url
    settings = AgentSettings(**{**_settings(case, url), **case.settings})
    spoken = adapter(settings)
    launch = spoken.start(
        Assignment(
            kind="step",
            prompt="Do it.",
            session=case.session or SESSION,
            resumes=case.session is not None,
            worktree=work,
            folder=folder,
            environment={"HOME": str(home)},
            settings=settings,
            tool_seconds=3600.0,
            max_cost_usd=settings.max_cost_usd,
        )
    )
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "TZ": "UTC", **settings.environment}
    process = subprocess.Popen(
        launch.argv,
        cwd=work,
        env={**environment, **launch.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdin is not None and process.stdout is not None
    ending = threading.Timer(case.seconds or MAX_SECONDS, process.kill)
    ending.start()
    try:
        process.stdin.write(launch.stdin)
        process.stdin.flush()
        if not launch.keeps_stdin:
            process.stdin.close()
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            yield line
            if any(isinstance(event, Result) for event in spoken.read(line)):
                process.stdin.close()
        process.wait()
    finally:
        ending.cancel()
        process.kill()


def _settings(case: Case, url: str) -> dict[str, Any]:
    if case.kind == "claude":
        account = {"key": "ANTHROPIC_API_KEY", "subscriber": "CLAUDE_CODE_OAUTH_TOKEN"}.get(case.account)
        given = {"ANTHROPIC_BASE_URL": url, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
        environment = {**given, **({account: "of-no-account"} if account else {})}
        return {"kind": "claude", "command": (program("claude"),), "environment": environment}
    provider = f'{{name="played",base_url="{url}/v1",env_key="OPENAI_API_KEY",wire_api="responses"}}'
    extra = ("-c", 'model_provider="played"', "-c", f"model_providers.played={provider}")
    environment = {"OPENAI_API_KEY": "of-no-account"} if case.account == "key" else {}
    return {
        "kind": "codex",
        "command": (program("codex"),),
        "model": "gpt-5",
        "permission_mode": "danger-full-access",
        "extra_args": extra,
        "environment": environment,
    }


def _kept(line: str, folder: str, url: str) -> str | None:
    """A line without what belongs to this machine; None for one of the pieces that an answer comes in."""
    line = line.replace(f"{folder}/work", "/work").replace(f"{folder}/home", "/home/agent")
    line = line.replace(url.removeprefix("http://"), "model")
    if line.startswith(_OF_THE_RECORDING):
        return None
    try:
        said = json.loads(line)
    except ValueError:
        return line
    if said.get("type") == "stream_event" and said["event"]["type"] not in ("message_start", "message_delta"):
        return None
    if said.get("type") == "system" and said.get("subtype") == "init":
        said = {name: said[name] for name in _KEPT_OF_INIT if name in said}
        line = msgspec.json.encode(said).decode()
    return line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
