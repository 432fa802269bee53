"""The Responses API, streamed, as Codex asks it."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any

from tests.models.script import Answer, Break, Conversation, Edit, Fail, Part, Refuse, Run, Say, Script
from tests.models.server import Model, serve

INPUT_TOKENS, OUTPUT_TOKENS = 100, 20


def responses_api(script: Script, host: str = "127.0.0.1") -> AbstractContextManager[Model]:
    """A model that speaks the Responses API."""
    return serve(_Responses(), script, host)


class _Responses:
    def conversation(self, path: str, body: dict[str, Any]) -> Conversation | None:
        if not path.endswith("/responses"):
            return None
        said = body["input"]
        told = [i for i in said if i.get("type") == "message" and i["role"] == "user" and not _is_context(i)]
        back = [i for i in said if i.get("type") == "function_call_output" or i in told]
        return Conversation(
            prompt=_words(told[0]),
            last=str(back[-1]["output"]) if "output" in back[-1] else _words(back[-1]),
            turn=sum(1 for before, item in pairwise([{}, *said]) if _is_answer(item) and not _is_answer(before)),
            raw=body,
        )

    def stream(self, body: dict[str, Any], answer: Answer) -> list[tuple[str, dict[str, Any]]]:
        if isinstance(answer, Fail):
            failed = {
                "id": "resp_0",
                "object": "response",
                "status": "failed",
                "output": [],
                "error": {"code": answer.kind, "message": answer.message},
            }
            return [("response.failed", {"type": "response.failed", "response": failed})]
        parts: list[Part] = [Say("I begin")] if isinstance(answer, Break) else answer  # type: ignore[assignment]
        number = len(body["input"])
        items = [_item(part, f"{number:04}_{at}") for at, part in enumerate(parts)]
        response = {"id": f"resp_{number}", "object": "response", "status": "in_progress", "output": []}
        usage = {
            "input_tokens": INPUT_TOKENS,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": OUTPUT_TOKENS,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        }
        events: list[dict[str, Any]] = [{"type": "response.created", "response": response}]
        for at, item in enumerate(items):
            events.append({"type": "response.output_item.added", "output_index": at, "item": item})
            events.append({"type": "response.output_item.done", "output_index": at, "item": item})
        done = {**response, "status": "completed", "output": items, "usage": usage}
        events.append({"type": "response.completed", "response": done})
        return [(e["type"], e) for e in events]

    def whole(self, body: dict[str, Any], answer: Answer) -> dict[str, Any]:
        response: dict[str, Any] = self.stream(body, answer)[-1][1]["response"]
        return response

    def other(self, path: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - a model has nothing else
        return {"object": "list", "data": [], "models": []}

    def error(self, refusal: Refuse) -> dict[str, Any]:
        return {"error": {"type": refusal.kind, "code": refusal.kind, "message": refusal.message, **refusal.more}}


def _item(part: Part, id: str) -> dict[str, Any]:
    match part:
        case Say(text):
            content = [{"type": "output_text", "text": text, "annotations": []}]
            return {
                "id": f"msg_{id}",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": content,
            }
        case Run(command):
            given = {"cmd": command, "yield_time_ms": 30000}
        case Edit(path, text):
            given = {"cmd": f"cat >{path} <<'EOF'\n{text}EOF\n"}
    return {
        "id": f"fc_{id}",
        "type": "function_call",
        "status": "completed",
        "call_id": f"call_{id}",
        "name": "exec_command",
        "arguments": json.dumps(given),
    }


def _words(item: dict[str, Any]) -> str:
    return "\n".join(part.get("text", "") for part in item["content"])


def _is_answer(item: dict[str, Any]) -> bool:
    """Of the model; one answer may be several items in a row."""
    return item.get("type") == "function_call" or item.get("role") == "assistant"


def _is_context(item: dict[str, Any]) -> bool:
    return _words(item).startswith("<environment_context>")
