"""What agents' recorded lines mean, what follows when a run ends, and when one is ended from outside."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.daemon.agents.adapter import AgentFailed, Assignment
from services.daemon.agents.claude import Claude
from services.daemon.agents.codex import Codex
from services.daemon.agents.command import Command
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
    shown,
)
from services.daemon.agents.registry import Registry, adapter
from services.daemon.agents.shell import CANT_PLAN, Shell
from services.daemon.runs.decisions import Afresh, Again, Next, Over, Told, Well, after
from services.daemon.runs.run import Ended, ending
from services.daemon.runs.watchdogs import Limits, Meter, Stop, Watch
from shared.config.agents import AgentSettings, Price

RECORDED = Path(__file__).parent / "recorded"


def said(name: str) -> list[Event]:
    """The events of a whole run, recorded from the real command line."""
    spoken = Claude() if name.startswith("claude") else Codex()
    return [event for line in (RECORDED / f"{name}.jsonl").read_text().splitlines() for event in spoken.read(line)]


def assignment(folder: Path, settings: AgentSettings, **more: object) -> Assignment:
    values: dict[str, object] = {"kind": "step", "prompt": "do it", "session": "s-1", "tool_seconds": 60.0}
    return Assignment(worktree=folder, folder=folder, settings=settings, **{**values, **more})  # type: ignore[arg-type]


def test_a_run_of_claude_is_its_session_its_words_its_tools_and_its_result() -> None:
    events = said("claude-works")
    assert isinstance(events[0], Session)
    assert [e for e in events if isinstance(e, Text)] == [Text("looking"), Text("done it")]
    calls = [e for e in events if isinstance(e, ToolCall)]
    assert [(c.name, c.detail) for c in calls] == [("Bash", "echo hi > f.txt; ls"), ("Write", "g.txt")]
    assert {r.id for r in events if isinstance(r, ToolResult)} == {c.id for c in calls}
    assert events[-1] == Result(True, "done it", 0.003, 360)
    assert not [e for e in events if isinstance(e, Raw)]


def test_what_one_message_of_claude_takes_counts_once_though_it_comes_in_parts() -> None:
    meter = Meter()
    for event in said("claude-works")[:-1]:
        meter.saw(event)
    assert meter.tokens == 3 * (100 + 20)
    meter.saw(said("claude-works")[-1])
    assert (meter.tokens, meter.cost_usd) == (360, 0.003)


TROUBLES = [
    ("claude-signed-out", Trouble.SIGNED_OUT, "authentication_failed 401"),
    ("claude-no-key", Trouble.SIGNED_OUT, "Not logged in"),
    ("claude-token-expired", Trouble.SIGNED_OUT, "authentication_failed 401"),
    ("claude-organization-disabled", Trouble.SIGNED_OUT, "disabled organization"),
    ("claude-forbidden", Trouble.REFUSED, "403 Your account may not"),
    ("claude-no-model", Trouble.REFUSED, "issue with the selected model"),
    ("claude-no-credit", Trouble.NO_CREDIT, "Credit balance is too low"),
    ("claude-limited", Trouble.LIMITED, "Request rejected (429)"),
    ("claude-limited-long", Trouble.LIMITED, "Request rejected (429)"),
    ("claude-overloaded", Trouble.UNAVAILABLE, "Repeated 529 Overloaded errors"),
    ("claude-overloaded-subscriber", Trouble.UNAVAILABLE, "529 Overloaded"),
    ("claude-overloaded-in-answer", Trouble.UNAVAILABLE, "API Error"),
    ("claude-unavailable", Trouble.UNAVAILABLE, "503"),
    ("claude-server-error", Trouble.UNAVAILABLE, "500 Internal server error"),
    ("claude-unreachable", Trouble.UNAVAILABLE, "Unable to connect"),
    ("claude-broken", Trouble.UNAVAILABLE, "API Error"),
    ("claude-prompt-too-long", Trouble.TOO_LONG, "Prompt is too long"),
    ("claude-conversation-too-long", Trouble.TOO_LONG, "Prompt is too long"),
    ("claude-request-too-large", Trouble.TOO_LONG, "Request too large"),
    ("claude-turns", Trouble.TURNS, "maximum number of turns"),
    ("claude-budget", Trouble.BUDGET, "Reached maximum budget"),
    ("claude-no-session", Trouble.SESSION, "No conversation found"),
    ("codex-signed-out", Trouble.SIGNED_OUT, "401 Unauthorized"),
    ("codex-no-key", Trouble.SIGNED_OUT, "Missing environment variable"),
    ("codex-forbidden", Trouble.REFUSED, "403 Forbidden"),
    ("codex-no-model", Trouble.REFUSED, "model does not exist"),
    ("codex-no-credit", Trouble.NO_CREDIT, "Quota exceeded"),
    ("codex-no-credit-in-answer", Trouble.NO_CREDIT, "Quota exceeded"),
    ("codex-rate-limited", Trouble.LIMITED, "429 Too Many Requests"),
    ("codex-overloaded", Trouble.UNAVAILABLE, "503"),
    ("codex-overloaded-in-answer", Trouble.UNAVAILABLE, "Selected model is at capacity"),
    ("codex-server-error", Trouble.UNAVAILABLE, "experiencing high demand"),
    ("codex-broken", Trouble.UNAVAILABLE, "stream disconnected"),
    ("codex-prompt-too-long", Trouble.TOO_LONG, "context window"),
    ("codex-no-session", Trouble.SESSION, "no rollout found"),
]
LIMITS_WITH_A_RESET = ["claude-session-limit", "claude-weekly-limit", "claude-no-extra-usage", "claude-spend-limit"]
LIMITS_WITH_A_RESET += ["codex-limited"]
HELD_ALONE = ["codex-rate-limited-in-answer", "codex-unreachable"]
RUNS_THAT_WORK = ["claude-works", "claude-half-letters", "claude-denied", "codex-works", "codex-half-letters"]


@pytest.mark.parametrize(("name", "trouble", "words"), TROUBLES)
def test_each_trouble_is_told_apart(name: str, trouble: Trouble, words: str) -> None:
    problems = [e for e in said(name) if isinstance(e, Problem)]
    assert problems and {p.trouble for p in problems} == {trouble} and words in problems[0].text
    assert all(p.seconds is None for p in problems), "nobody said how long"


@pytest.mark.parametrize("name", LIMITS_WITH_A_RESET)
def test_a_limit_that_says_when_it_is_reset_is_known_by_that(name: str) -> None:
    problems = [e for e in said(name) if isinstance(e, Problem)]
    reset = datetime(2100, 1, 1, tzinfo=UTC)
    for one in problems:
        assert one.trouble is Trouble.LIMITED and one.seconds is not None
        until = datetime.now(UTC) + timedelta(seconds=one.seconds)
        assert abs(until - reset) < timedelta(days=1), "up to where a machine's zone is not the recording's"


def test_a_limit_that_says_how_long_is_waited_for_as_long() -> None:
    problems = [e for e in said("codex-rate-limited-in-answer") if isinstance(e, Problem)]
    assert problems and {(p.trouble, p.seconds) for p in problems} == {(Trouble.LIMITED, 1.2)}


def test_codex_waits_for_the_network_for_ever_and_is_given_two_minutes() -> None:
    times = iter((1.0, 61.0, 121.0, 122.0))
    spoken = Codex(lambda: next(times))
    (line, *_) = (li for li in (RECORDED / "codex-unreachable.jsonl").read_text().splitlines() if "waiting for" in li)
    *waits, last = (event for _ in range(4) for event in spoken.read(line))
    assert all(isinstance(e, Waiting) for e in waits)
    assert isinstance(last, Problem) and last.trouble is Trouble.UNAVAILABLE
    assert not [e for e in said("codex-unreachable") if isinstance(e, Problem | Raw)]


def test_every_recorded_run_is_held_to_what_it_means() -> None:
    held = {*(name for name, _, _ in TROUBLES), *LIMITS_WITH_A_RESET, *RUNS_THAT_WORK, *HELD_ALONE}
    assert held == {file.stem for file in RECORDED.glob("*.jsonl")}


@pytest.mark.parametrize("name", RUNS_THAT_WORK)
def test_a_run_that_works_ends_well_and_says_no_line_that_is_unknown(name: str) -> None:
    events = said(name)
    assert isinstance(events[-1], Result) and events[-1].ok
    assert not [e for e in events if isinstance(e, Raw | Problem)]


def test_half_a_character_is_lost_alone() -> None:
    words = [e.text for e in said("claude-half-letters") if isinstance(e, Text)]
    assert words == ["half a pair: \ufffd, and on", "done half a pair: \ufffd, and on"]
    for name in ("claude-half-letters", "codex-half-letters"):
        (result,) = (e for e in said(name) if isinstance(e, ToolResult))
        assert result.text == "half a letter: \ufffd, and on"


def test_a_tool_that_was_denied_is_said_with_what_it_was_for() -> None:
    (denied,) = (e for e in said("claude-denied") if isinstance(e, Denied))
    assert denied.tool == "Bash" and denied.detail.startswith("curl")


def test_a_run_of_codex_is_its_session_its_words_its_tools_and_its_result() -> None:
    events = said("codex-works")
    assert isinstance(events[0], Session)
    assert [e.detail for e in events if isinstance(e, ToolCall)] == [
        "/bin/bash -c 'echo hi; ls'",
        "/bin/bash -c 'exit 3'",
    ]
    assert [e.failed for e in events if isinstance(e, ToolResult)] == [False, True]
    assert events[-1] == Result(True, "done", None, 360)


def test_what_codex_says_of_a_resumed_session_counts_without_what_was_counted_before(tmp_path: Path) -> None:
    spoken = Codex()
    spoken.start(assignment(tmp_path, AgentSettings(kind="codex"), resumes=True, spent_tokens=240))
    spoken.read('{"type":"turn.started"}')
    line = '{"type":"turn.completed","usage":{"input_tokens":300,"cached_input_tokens":0,"output_tokens":60}}'
    assert spoken.read(line)[-1] == Result(True, "", None, 120)


def test_what_codex_takes_costs_what_the_settings_say(tmp_path: Path) -> None:
    price = Price(input=1.0, cached=0.1, output=10.0)
    used = {"input_tokens": 3_000_000, "cached_input_tokens": 1_000_000, "output_tokens": 500_000}
    line = json.dumps({"type": "turn.completed", "usage": used})
    first, second = Codex(), Codex()
    first.start(assignment(tmp_path, AgentSettings(kind="codex", price=price)))
    assert first.read(line)[-1] == Result(True, "", pytest.approx(7.1), 2_500_000)
    second.start(assignment(tmp_path, AgentSettings(kind="codex", price=price), resumes=True, spent_tokens=1_250_000))
    assert second.read(line)[-1] == Result(True, "", pytest.approx(3.55), 1_250_000), "half of it was counted before"
    assert Codex().read(line)[-1] == Result(True, "", None, 2_500_000)


def test_an_answer_of_claude_that_is_cut_off_counts_as_far_as_it_was_told() -> None:
    meter, spoken = Meter(), Claude()

    def hear(by: str | None = None, **event: object) -> int:
        line = {"type": "stream_event", "event": event, "parent_tool_use_id": by, "session_id": "s"}
        for said in spoken.read(json.dumps(line)):
            meter.saw(said)
        return meter.tokens

    def begin(id: str, read: int) -> dict[str, object]:
        return {"type": "message_start", "message": {"id": id, "usage": {"input_tokens": read, "output_tokens": 1}}}

    assert hear(**begin("m1", 100)) == 101
    assert hear(type="content_block_delta") == 101
    assert hear(by="tool", **begin("m2", 1000)) == 1102
    assert hear(type="message_delta", usage={"output_tokens": 40}) == 1141
    assert hear(by="tool", type="message_delta", usage={"output_tokens": 7}) == 1147
    whole = {
        "id": "m1",
        "content": [{"type": "text", "text": "hi"}],
        "usage": {"input_tokens": 100, "output_tokens": 1},
    }
    for said in spoken.read(json.dumps({"type": "assistant", "message": whole})):
        meter.saw(said)
    assert meter.tokens == 1147, "its parts come with what was known at its start"


def test_a_wait_that_is_long_is_a_limit_and_a_short_one_is_only_said() -> None:
    line = {"type": "system", "subtype": "api_retry", "error": "rate_limit", "error_status": 429}
    short, long = ({**line, "retry_delay_ms": ms} for ms in (5_000, 3_600_000))
    assert Claude().read(json.dumps(short)) == (Waiting("rate_limit 429, again in 5 s"),)
    assert Claude().read(json.dumps(long)) == (Problem(Trouble.LIMITED, "rate_limit 429", 3600.0),)


@pytest.mark.parametrize("kind", ["claude", "codex", "command"])
@pytest.mark.parametrize("line", ["plain words", "{", '{"type": "of tomorrow", "x": []}', '{"type": 7}', "[]", "null"])
def test_an_unknown_line_is_kept_as_it_is(kind: str, line: str) -> None:
    assert adapter(AgentSettings(kind=kind)).read(line) == (Raw(line),)  # type: ignore[arg-type]


def test_a_command_is_its_template_filled_in_and_may_say_events(tmp_path: Path) -> None:
    settings = AgentSettings(kind="command", command=("agent", "--file", "{prompt_file}", "--as", "{session}"))
    launch = Command().start(assignment(tmp_path, settings))
    assert launch.argv == ("agent", "--file", str(tmp_path / "prompt.md"), "--as", "s-1")
    assert launch.stdin == b"do it" and (tmp_path / "prompt.md").read_text() == "do it"
    assert Command().read('{"type":"usage","id":"1","tokens":5}') == (Usage("1", 5),)
    assert Command().read('{"type":"result","ok":false,"text":"no"}') == (Result(False, "no"),)


def test_the_shell_plans_by_its_last_fenced_block_and_by_nothing_else(tmp_path: Path) -> None:
    goal = "Prose\n```sh\nfalse\n```\nMore\n```sh\nmakima x\n```\n"
    Shell().start(assignment(tmp_path, AgentSettings(kind="shell"), kind="plan", task_plan=goal))
    assert (tmp_path / "script.sh").read_text() == "makima x\n"
    with pytest.raises(AgentFailed, match="can't plan prose"):
        Shell().start(assignment(tmp_path, AgentSettings(kind="shell"), kind="plan", task_plan="Prose"))
    assert CANT_PLAN.startswith("the shell agent")


def test_claude_is_told_its_session_before_its_first_word_and_resumes_it_after(tmp_path: Path) -> None:
    settings = AgentSettings(kind="claude", model="m", allowed_tools=("Bash",), max_turns=3, extra_args=("--x",))
    first = Claude().start(assignment(tmp_path, settings)).argv
    assert first[first.index("--session-id") + 1] == "s-1" and "--resume" not in first
    again = Claude().start(assignment(tmp_path, settings, resumes=True)).argv
    assert again[again.index("--resume") + 1] == "s-1" and "--session-id" not in again
    assert again[-1] == "--x" and again[again.index("--allowedTools") + 1] == "Bash"


def test_an_agent_that_is_not_there_is_refused_with_the_fix() -> None:
    registry = Registry({"mine": AgentSettings(kind="command", command=("no-such-program",))})
    assert "mine" not in registry.present() and "shell" in registry.present()
    with pytest.raises(AgentFailed, match="needs 'no-such-program'"):
        registry.settings("mine")
    with pytest.raises(AgentFailed, match=r"add \[agents.other\]"):
        registry.settings("other")


def told(**more: object) -> Told:
    values: dict[str, object] = {"agent": "claude", "speaks": True, "resumable": True, "sign_in": "sign in"}
    return Told(**{**values, **more})  # type: ignore[arg-type]


def problem(trouble: Trouble, seconds: float | None = None) -> Ended:
    return Ended(code=1, problem=Problem(trouble, "words", seconds), result=Result(False, "words"))


@pytest.mark.parametrize(
    ("ended", "more", "wanted"),
    [
        (Ended(result=Result(True, "done")), {}, Well),
        (Ended(code=-9, stopped=Stop.FINISHED, result=Result(True)), {}, Well),
        (Ended(code=0), {"speaks": False}, Well),
        (Ended(code=0), {}, Again),
        (Ended(code=0), {"resumed": 1}, Over),
        (Ended(code=-15, stopped=Stop.STALLED), {}, Again),
        (Ended(code=-15, stopped=Stop.STALLED), {"resumed": 1}, Over),
        (Ended(code=-15, stopped=Stop.STALLED), {"resumable": False}, Over),
        (Ended(code=1, result=Result(False, "can't")), {}, Over),
        (problem(Trouble.SESSION), {}, Afresh),
        (problem(Trouble.SESSION), {"afresh": 1}, Over),
        (Ended(code=137), {"speaks": False}, Over),
        (Ended(code=-15, stopped=Stop.TOKENS, tokens=5), {}, Over),
    ],
)
def test_what_follows_a_run(ended: Ended, more: dict[str, object], wanted: type[Next]) -> None:
    assert isinstance(after(ended, told(**more)), wanted)


def test_troubles_of_the_provider_wait_and_what_a_person_must_fix_waits_for_them() -> None:
    for trouble in (Trouble.LIMITED, Trouble.UNAVAILABLE):
        waits = after(problem(trouble, 90.0), told())
        assert isinstance(waits, Over) and waits.wait_seconds == 90.0 and not waits.blocked
        unknown = after(problem(trouble), told())
        assert isinstance(unknown, Over) and unknown.wait_seconds == 0.0, "nobody knows how long"
    out = after(problem(Trouble.SIGNED_OUT), told())
    assert (
        isinstance(out, Over) and out.blocked and out.reason == "claude is not signed in: words; sign in, then resume"
    )
    for trouble, words in ((Trouble.NO_CREDIT, "has no credit left"), (Trouble.REFUSED, "was refused")):
        over = after(problem(trouble), told())
        assert isinstance(over, Over) and over.blocked and words in over.reason and "resume" in over.reason
    spent = after(problem(Trouble.BUDGET), told())
    assert isinstance(spent, Over) and spent.permanent


def test_what_outgrew_its_model_goes_on_in_a_new_conversation_and_never_in_the_same() -> None:
    grown = Ended(code=1, problem=Problem(Trouble.TOO_LONG, "too long"), tokens=5)
    again = after(grown, told(began=True))
    assert isinstance(again, Afresh) and again.summary
    resumed = after(Ended(code=1, problem=Problem(Trouble.TOO_LONG, "too long")), told(began=False))
    assert isinstance(resumed, Afresh) and resumed.summary
    last = after(grown, told(afresh=3))
    assert isinstance(last, Over) and last.forgets_session and not last.permanent
    alone = after(Ended(code=1, problem=Problem(Trouble.TOO_LONG, "too long")), told(began=True))
    assert isinstance(alone, Over) and alone.permanent, "the prompt alone is too long"


def test_a_limit_that_was_got_over_is_no_failure() -> None:
    ended = Ended(result=Result(True, "done"), problem=Problem(Trouble.LIMITED, "words"))
    assert isinstance(after(ended, told()), Well)


def test_exit_codes_are_told_apart_from_signals() -> None:
    assert ending(-15) == "signal 15 (SIGTERM)" and ending(3) == "exit code 3"
    assert ending(137) == "exit code 137 (a process of it got SIGKILL)"


LIMITS = Limits(stall_seconds=10, tool_seconds=100, exit_seconds=5, max_tokens=50)


def test_a_running_tool_is_no_stall_until_its_own_limit() -> None:
    watch = Watch(LIMITS, began=0)
    watch.saw([ToolCall("t", "Bash")], now=1)
    assert watch.due(99) is None and watch.due(101) is Stop.STALLED
    watch.saw([ToolResult("t")], now=60)
    assert watch.due(69) is None and watch.due(70) is Stop.STALLED


def test_after_its_result_it_has_a_grace_to_exit_unless_it_goes_on() -> None:
    watch = Watch(LIMITS, began=0)
    watch.saw([Result(True)], now=1)
    assert watch.due(5) is None and watch.due(6) is Stop.FINISHED
    watch.saw([Text("there is more")], now=4)
    assert watch.due(6) is None and watch.due(14) is Stop.STALLED


def test_too_many_tokens_end_it_in_mid_run() -> None:
    watch = Watch(LIMITS, began=0)
    watch.saw([Usage("a", 50), Usage("a", 50)], now=1)
    assert watch.due(1) is None
    watch.saw([Usage("b", 1)], now=2)
    assert watch.due(2) is Stop.TOKENS


def test_a_script_is_one_long_tool_call() -> None:
    watch = Watch(LIMITS, began=0, speaks=False)
    assert watch.due(99) is None and watch.due(100) is Stop.STALLED


def test_what_is_shown_of_a_tool_is_cut_and_words_are_not() -> None:
    assert shown(Text("a\nb")) == ["a", "b"]
    assert shown(ToolResult("1", "x" * 3000))[0].endswith("[1000 characters cut]")
    assert shown(Usage("1", 5)) == []
