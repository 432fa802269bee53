"""`makima directive watch`: plain lines of what happens, until it ends."""

from __future__ import annotations

import time
from typing import Any

from cli.client import call

LOOK_SECONDS = 0.2
DELIVERED, STOPPED, TIMED_OUT = 0, 1, 124


def watch(directive: str, timeout: float | None) -> int:
    """Print each change of a directive; the exit code says how it ended."""
    began, after = time.monotonic(), 0
    names: dict[str, str] = {}
    while True:
        for event in call("GET", f"/v1/directives/{directive}/events?after={after}"):
            after = event["seq"]
            if line := _line(event, names):
                print(f"{time.monotonic() - began:7.2f}  {line}", flush=True)
        shown = call("GET", f"/v1/directives/{directive}")
        if (code := _ended(shown)) is not None:
            reason = f": {shown['pause_reason']}" if shown["pause_reason"] else ""
            print(f"{shown['status']}{reason}" + (f" on {shown['pr_branch']}" if shown["pr_branch"] else ""))
            return code
        if timeout is not None and time.monotonic() - began > timeout:
            return TIMED_OUT
        time.sleep(LOOK_SECONDS)


def _ended(shown: dict[str, Any]) -> int | None:
    if shown["status"] == "completed" or (shown["status"] == "idle" and shown["pr_url"]):
        return DELIVERED
    return STOPPED if shown["status"] in ("paused", "archived") else None


def _line(event: dict[str, Any], names: dict[str, str]) -> str | None:
    body, kind = event["body"], event["type"]
    reason = f": {body['reason']}" if body.get("reason") else ""
    if kind == "step.changed":
        names[body["step"]] = body["name"]
        return f"step {body['name']} {body['status']}{reason}"
    if kind == "task.changed":
        return f"{body['kind']} task {body['task'][-8:]} {body['status']}{reason}"
    if kind in ("directive.changed", "delivery.finished"):
        return f"{kind} {body.get('status', '')}{body.get('branch', '')}{reason}"
    return f"{len(body['steps'])} steps ready" if kind == "step.ready" else None
