"""The Messages API, streamed, as Claude Code asks it."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import Any

from tests.models.script import Answer, Break, Conversation, Edit, Fail, Part, Refuse, Run, Say, Script
from tests.models.server import Model, serve

INPUT_TOKENS, OUTPUT_TOKENS = 100, 20


def messages_api(script: Script, host: str = "127.0.0.1") -> AbstractContextManager[Model]:
    """A model that speaks the Messages API."""
    return serve(_Messages(), script, host)


class _Messages:
    def conversation(self, path: str, body: dict[str, Any]) -> Conversation | None:
        if not path.startswith("/v1/messages") or "count_tokens" in path or not body.get("tools"):
            return None
        said = body["messages"]
        users = [m for m in said if m["role"] == "user"]
        return Conversation(
            prompt=_text(users[0]),
            last=_text(users[-1]),
            turn=sum(1 for m in said if m["role"] == "assistant"),
            raw=body,
        )

    def stream(self, body: dict[str, Any], answer: Answer) -> list[tuple[str, dict[str, Any]]]:
        if isinstance(answer, Fail):
            return [("error", {"type": "error", "error": {"type": answer.kind, "message": answer.message}})]
        parts: list[Part] = [Say("I begin")] if isinstance(answer, Break) else answer  # type: ignore[assignment]
        number = sum(1 for m in body["messages"] if m["role"] == "assistant")
        tools = any(not isinstance(p, Say) for p in parts)
        usage = {"input_tokens": INPUT_TOKENS, "output_tokens": 1}
        message = {
            "id": f"msg_{abs(hash(json.dumps(body['messages'][0]))) % 10**8:08}{number:04}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
        for index, part in enumerate(parts):
            start, delta = _block(part, f"toolu_{number:04}_{index:04}")
            events += [
                {"type": "content_block_start", "index": index, "content_block": start},
                {"type": "content_block_delta", "index": index, "delta": delta},
                {"type": "content_block_stop", "index": index},
            ]
        stop = {"stop_reason": "tool_use" if tools else "end_turn", "stop_sequence": None}
        events += [
            {"type": "message_delta", "delta": stop, "usage": {"output_tokens": OUTPUT_TOKENS}},
            {"type": "message_stop"},
        ]
        return [(e["type"], e) for e in events]

    def whole(self, body: dict[str, Any], answer: Answer) -> dict[str, Any]:
        events = [event for _, event in self.stream(body, answer)]
        message: dict[str, Any] = events[0]["message"]
        blocks: list[dict[str, Any]] = []
        for event in events:
            if event["type"] == "content_block_start":
                blocks.append(dict(event["content_block"]))
            elif event["type"] == "content_block_delta":
                given = event["delta"]
                blocks[-1].update(
                    {"text": given["text"]} if "text" in given else {"input": json.loads(given["partial_json"])}
                )
        (ended,) = (e for e in events if e["type"] == "message_delta")
        usage = {**message["usage"], **ended["usage"]}
        return {**message, "content": blocks, "usage": usage, "stop_reason": ended["delta"]["stop_reason"]}

    def other(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if "count_tokens" in path:
            return {"input_tokens": 10}
        return {
            "id": "msg_other",
            "type": "message",
            "role": "assistant",
            "model": body.get("model", ""),
            "content": [{"type": "text", "text": "{}"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }

    def error(self, refusal: Refuse) -> dict[str, Any]:
        return {"type": "error", "error": {"type": refusal.kind, "message": refusal.message, **refusal.more}}


def _block(part: Part, id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    match part:
        case Say(text):
            return {"type": "text", "text": ""}, {"type": "text_delta", "text": text}
        case Run(command):
            name, given = "Bash", {"command": command, "description": "Run it"}
        case Edit(path, text):
            name, given = "Write", {"file_path": path, "content": text}
    start = {"type": "tool_use", "id": id, "name": name, "input": {}}
    return start, {"type": "input_json_delta", "partial_json": json.dumps(given)}


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    found = []
    for block in content:
        inner = block.get("content", block.get("text", ""))
        found.append(inner if isinstance(inner, str) else "".join(b.get("text", "") for b in inner))
    return "\n".join(found)
