"""Whatever an agent of the Agent Client Protocol prints between its messages, its turn ends as it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon_harness import ROOT

AGENT = r"""
import json, sys
def send(raw):
    sys.stdout.buffer.write(raw + b"\n"); sys.stdout.buffer.flush()
def answer(id, result):
    send(json.dumps({"jsonrpc": "2.0", "id": id, "result": result}).encode())
for line in sys.stdin:
    asked = json.loads(line)
    if asked["method"] == "initialize":
        answer(asked["id"], {"protocolVersion": 1, "agentCapabilities": {}})
    elif asked["method"] == "session/new":
        answer(asked["id"], {"sessionId": "s"})
    elif asked["method"] == "session/prompt":
        send(open(sys.argv[1], "rb").read())
        answer(asked["id"], {"stopReason": "end_turn"})
"""
SAYS = (
    '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":'
    '{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"%s"}}}}'
)
COSTS = (
    '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":'
    '{"sessionUpdate":"usage_update","size":1e400,"used":%s,"cost":{"amount":1e400,"currency":"USD"}}}}'
)
NESTED = '{"jsonrpc":"2.0","method":"session/update","params":' + "[" * 5000 + "]" * 5000 + "}"


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ((SAYS % r"cut \ud83d").encode(), "cut \ufffd"),
        ((SAYS % "a\0b").encode(), "a\0b"),
        ((SAYS % "a").encode().replace(b'"a"', b'"a\xff"'), "a\ufffd"),
        (NESTED.encode(), ""),
        ((COSTS % ("9" * 5000)).encode(), ""),
        (b"12\nnull\n[]\n\xff\xfe no json", ""),
        (b'{"jsonrpc":"2.0"}\n{"method":7}', ""),
    ],
)
def test_an_odd_line_costs_itself_and_not_the_turn(tmp_path: Path, odd: bytes, words: str) -> None:
    agent, line = tmp_path / "agent.py", tmp_path / "line"
    agent.write_text(AGENT)
    line.write_bytes(odd)
    bridge = [sys.executable, "-m", "services.daemon.agents.acp_bridge", "--permission", "allow", "--"]
    run = subprocess.run(
        [*bridge, sys.executable, str(agent), str(line)],
        cwd=ROOT,
        input=b"hi",
        capture_output=True,
        timeout=60,
        check=False,
    )
    result = json.loads(run.stdout.splitlines()[-1])
    assert (run.returncode, result["type"], result["ok"], result["text"]) == (0, "result", True, words), run.stderr
    assert b"Traceback" not in run.stderr
