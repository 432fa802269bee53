"""What agents' recorded lines mean, what follows when a run ends, and when one is ended from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.daemon.agents.adapter import AgentFailed, Assignment
from services.daemon.agents.claude import Claude
from services.daemon.agents.codex import Codex
from services.daemon.agents.command import Command
from services.daemon.agents.events import (
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
    assert [(c.name, c.detail) for c in calls] == [("Bash", "echo hi > f.txt; ls"), ("Write", "/srv/shop/g.txt")]
    assert {r.id for r in events if isinstance(r, ToolResult)} == {c.id for c in calls}
    assert events[-1] == Result(True, "done it", 0.003, 360)
    assert not [e for e in events if isinstance(e, Raw)]


def test_what_one_message_of_claude_takes_counts_once_though_it_comes_in_parts() -> None:
    meter = Meter()
    for event in said("claude-works")[:-1]:
        meter.saw(event)
    assert meter.tokens == 3 * 101
    meter.saw(said("claude-works")[-1])
    assert (meter.tokens, meter.cost_usd) == (360, 0.003)


@pytest.mark.parametrize(
    ("name", "trouble", "words"),
    [
        ("claude-signed-out", Trouble.SIGNED_OUT, "authentication_failed 401"),
        ("claude-no-credit", Trouble.SIGNED_OUT, "Credit balance is too low"),
        ("claude-limited", Trouble.LIMITED, "Request rejected (429)"),
        ("claude-overloaded", Trouble.OVERLOADED, "529 Overloaded"),
        ("claude-turns", Trouble.TURNS, "maximum number of turns"),
        ("claude-budget", Trouble.BUDGET, "Reached maximum budget"),
        ("claude-no-session", Trouble.SESSION, "No conversation found"),
        ("claude-broken", Trouble.OTHER, "empty or malformed response"),
        ("codex-signed-out", Trouble.SIGNED_OUT, "401 Unauthorized"),
        ("codex-limited", Trouble.LIMITED, "usage limit"),
        ("codex-overloaded", Trouble.OVERLOADED, "503"),
        ("codex-broken", Trouble.OVERLOADED, "stream disconnected"),
        ("codex-no-session", Trouble.SESSION, "no rollout found"),
    ],
)
def test_each_trouble_is_told_apart(name: str, trouble: Trouble, words: str) -> None:
    problems = [e for e in said(name) if isinstance(e, Problem)]
    assert problems and problems[0].trouble is trouble and words in problems[0].text


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


def test_an_agent_that_is_not_there_is_refused_with_the_mend() -> None:
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
        (problem(Trouble.SESSION), {"afresh": True}, Over),
        (Ended(code=137), {"speaks": False}, Over),
        (Ended(code=-15, stopped=Stop.TOKENS, tokens=5), {}, Over),
    ],
)
def test_what_follows_a_run(ended: Ended, more: dict[str, object], wanted: type[Next]) -> None:
    assert isinstance(after(ended, told(**more)), wanted)


def test_a_limit_waits_for_its_reset_and_a_sign_in_for_a_person() -> None:
    limited = after(problem(Trouble.LIMITED, 90.0), told())
    assert isinstance(limited, Over) and limited.wait_seconds == 90.0 and not limited.blocked
    out = after(problem(Trouble.SIGNED_OUT), told())
    assert isinstance(out, Over) and out.blocked and out.reason == "claude is not signed in: words; sign in"
    spent = after(problem(Trouble.BUDGET), told())
    assert isinstance(spent, Over) and spent.permanent


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
    assert shown(ToolResult("1", "x" * 3000))[0].endswith("[1000 letters cut]")
    assert shown(Usage("1", 5)) == []
