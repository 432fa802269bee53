"""Whatever an agent prints, its adapter reads what can be read and never raises: an odd field costs itself alone."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.daemon.agents.acp import Acp
from services.daemon.agents.adapter import Adapter
from services.daemon.agents.claude import Claude
from services.daemon.agents.codex import Codex
from services.daemon.agents.command import Command
from services.daemon.agents.events import Denied, Result, Usage, shown
from services.daemon.agents.shell import Shell
from services.daemon.runs.output import Lines

RECORDED = sorted(
    {line for file in (Path(__file__).parent / "recorded").glob("*.jsonl") for line in file.read_text().splitlines()}
    | {'{"type":"result","text":"done","tokens":7}', '{"type":"tool_result","id":"1","text":"x","ok":false}'}
)
ADAPTERS: list[Callable[[], Adapter]] = [Claude, Codex, Command, Acp, Shell]
DEEP = "[" * 5000 + "]" * 5000
DEEP_OBJECT = '{"a":' * 5000 + "1" + "}" * 5000
ODD = [
    "1e400",
    "-1e400",
    str(2**80),
    "9" * 5000,
    "-1",
    "NaN",
    DEEP,
    DEEP_OBJECT,
    r'"\ud83d"',
    '"\\u0000"',
    "null",
    "[]",
    "{}",
]


def results(adapter: Adapter, line: str) -> list[Result]:
    return [event for event in adapter.read(line) if isinstance(event, Result)]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(
    ("make", "line"),
    [
        (Claude, '{"type":"result","subtype":"success","is_error":false,"result":"done",%s}'),
        (Command, '{"type":"result","text":"done",%s}'),
        (Acp, '{"type":"result","text":"done",%s}'),
    ],
)
@pytest.mark.parametrize("field", ["zz", "total_cost_usd", "modelUsage", "tokens", "cost_usd", "permission_denials"])
def test_a_result_is_a_result_whatever_stands_beside_its_words(
    make: Callable[[], Adapter], line: str, field: str, odd: str
) -> None:
    (result,) = results(make(), line % f'"{field}":{odd}')
    assert (result.ok, result.text) == (True, "done")
    assert result.cost_usd is None or math.isfinite(result.cost_usd)


def test_half_of_a_surrogate_pair_costs_that_character_and_a_whole_pair_stays() -> None:
    line = r'{"type":"result","is_error":false,"result":"\ud83d\ude00 a \ud83d b \\ud83d"}'
    assert results(Claude(), line)[0].text == "\U0001f600 a \ufffd b \\ud83d"
    said = r'{"type":"item.completed","item":{"type":"agent_message","text":"cut \ud83d"}}'
    codex = Codex()
    codex.read(said)
    assert results(codex, '{"type":"turn.completed"}')[0].text == "cut \ufffd"


@pytest.mark.parametrize("byte", [b"\x00", b"\x1f", b"\xff", b"\xc3", b"\xed\xa0\xbd"])
def test_a_byte_that_json_has_no_place_for_costs_that_byte(byte: bytes) -> None:
    (line,) = Lines().feed(b'{"type":"result","is_error":false,"result":"do' + byte + b'ne"}\n')
    text = results(Claude(), line)[0].text
    assert text.startswith("do") and text.endswith("ne")


def test_codex_turn_ends_well_whatever_it_says_that_it_took() -> None:
    for odd in ODD:
        assert results(Codex(), f'{{"type":"turn.completed","usage":{odd}}}'), odd


def _changed(line: str, at: int, odd: str) -> str:
    """The line with one of its values replaced."""
    places: list[tuple[object, object]] = []

    def walk(value: object) -> None:
        for key, part in (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        ):
            places.append((value, key))
            walk(part)

    read = json.loads(line)
    walk(read)
    if not places:
        return odd
    inside, key = places[at % len(places)]
    inside[key] = "@odd@"  # type: ignore[index]
    return json.dumps(read).replace('"@odd@"', odd)


LINES = st.one_of(
    st.builds(
        _changed, st.sampled_from([x for x in RECORDED if x.startswith("{")]), st.integers(0, 500), st.sampled_from(ODD)
    ),
    st.builds(
        lambda line, at, more: line[: at % (len(line) + 1)] + more + line[at % (len(line) + 1) :],
        st.sampled_from(RECORDED),
        st.integers(0, 10_000),
        st.text(max_size=8),
    ),
    st.builds(lambda line, at: line[: at % (len(line) + 1)], st.sampled_from(RECORDED), st.integers(0, 10_000)),
    st.text(),
)


@given(st.sampled_from(ADAPTERS), st.lists(LINES, max_size=4))
def test_no_line_makes_an_adapter_raise_and_all_it_says_can_be_shown(
    make: Callable[[], Adapter], lines: list[str]
) -> None:
    adapter = make()
    for line in lines:
        for event in adapter.read(line):
            for text in shown(event):
                text.encode(errors="strict" if not any("\ud800" <= c <= "\udfff" for c in line) else "replace")
            if isinstance(event, Usage):
                assert isinstance(event.tokens, int)


def test_what_claude_was_denied_is_told_with_its_tool_and_its_path() -> None:
    line = {
        "type": "result",
        "is_error": False,
        "result": "Please approve.",
        "permission_denials": [{"tool_name": "Write", "tool_use_id": "t", "tool_input": {"file_path": "one.txt"}}],
    }
    assert Claude().read(json.dumps(line))[0] == Denied("Write", "one.txt")


def test_what_codex_declined_and_what_an_acp_agent_was_refused_is_told() -> None:
    item = {"type": "command_execution", "id": "i", "command": "rm x", "status": "declined"}
    assert Denied("shell", "rm x") in Codex().read(json.dumps({"type": "item.completed", "item": item}))
    edit = {"type": "file_change", "id": "i", "changes": [{"path": "a", "kind": "add"}], "status": "declined"}
    assert Codex().read(json.dumps({"type": "item.completed", "item": edit})) == (Denied("edit", "a"),)
    assert Acp().read('{"type":"denied","name":"edit","text":"Write a"}') == (Denied("edit", "Write a"),)
