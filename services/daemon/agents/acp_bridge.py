"""`python -m services.daemon.agents.acp_bridge [--resume ID] --permission allow|deny -- AGENT...`

Holds one turn of the Agent Client Protocol with an agent: the prompt is standard input, what the agent does is printed
as JSON lines, an event each. Exit code 0: it ended its turn; 1: it did not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
from acp import PROTOCOL_VERSION, RequestError, connect_to_agent, text_block
from acp.schema import (
    AgentMessageChunk,
    AllowedOutcome,
    ClientCapabilities,
    ContentToolCallContent,
    DeniedOutcome,
    PermissionOption,
    RequestPermissionResponse,
    TextContentBlock,
    ToolCallProgress,
    ToolCallStart,
    ToolCallUpdate,
    UsageUpdate,
)

from services.daemon.agents import lines
from services.daemon.agents.events import SHOWN_CHARACTERS, cut
from shared.domain.texts import one_line

LONGEST_MESSAGE = 16 << 20
END_SECONDS = 2.0
"""What its agent is given to end once its turn has; after that, whoever runs the bridge ends it."""
AUTHENTICATION_REQUIRED = -32000
"""The protocol's error code for an agent that is not signed in."""
_WANTED = {"allow": ("allow_always", "allow_once"), "deny": ("reject_once", "reject_always")}


def out(type: str, **fields: object) -> None:
    """Print an event; half of a surrogate pair in its words, which can't be encoded, as a question mark."""
    whole = {k: v.encode(errors="replace").decode() if isinstance(v, str) else v for k, v in fields.items()}
    sys.stdout.buffer.write(msgspec.json.encode({"type": type, **whole}) + b"\n")
    sys.stdout.buffer.flush()


class _OneLine(logging.Formatter):
    """What the library says of a message that it can't read, without its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        return one_line(f"[{record.getMessage()}{f': {error}' if error else ''}]")[:SHOWN_CHARACTERS]


class Listener:
    """The client's side: it answers by policy, and prints what it hears. It offers neither files nor terminals."""

    def __init__(self, permission: str) -> None:
        self._wanted = _WANTED[permission]
        self.allows = permission == "allow"
        self._words: list[str] = []
        self.listens = False
        self.closing_words = ""

    async def request_permission(
        self,
        session_id: str,  # noqa: ARG002 - there is one
        tool_call: ToolCallUpdate,
        options: list[PermissionOption],
        **_: Any,  # noqa: ANN401 - the library's signature
    ) -> RequestPermissionResponse:
        """By the settings, whatever is asked; what is denied is told."""
        if not self.allows:
            out("denied", name=tool_call.kind or "tool", text=tool_call.title or tool_call.tool_call_id)
        for kind in self._wanted:
            for option in options:
                if option.kind == kind:
                    chosen = AllowedOutcome(option_id=option.option_id, outcome="selected")
                    return RequestPermissionResponse(outcome=chosen)
        if self.allows:
            out("denied", name=tool_call.kind or "tool", text=tool_call.title or tool_call.tool_call_id)
        return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))

    async def session_update(self, session_id: str, update: object, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Print it. What comes before the turn is the history of a session that was loaded."""
        if not self.listens:
            return
        if isinstance(update, AgentMessageChunk):
            if isinstance(update.content, TextContentBlock):
                self._words.append(update.content.text)
            return
        self.say()
        if isinstance(update, ToolCallStart):
            out("tool", id=update.tool_call_id, name=update.kind or "tool", text=update.title)
        elif isinstance(update, ToolCallProgress) and update.status in ("completed", "failed"):
            failed = update.status == "failed"
            out("tool_result", id=update.tool_call_id, text=_text(update), ok=not failed)
        elif isinstance(update, UsageUpdate) and update.cost is not None:
            out("usage", id="cost", cost_usd=update.cost.amount)

    def say(self) -> None:
        """Print the words that came in pieces."""
        if words := "".join(self._words):
            self.closing_words = words
            out("text", text=words)
        self._words.clear()

    def on_connect(self, conn: object) -> None:
        """Nothing to do."""


def _text(update: ToolCallProgress) -> str:
    blocks = (c.content for c in update.content or () if isinstance(c, ContentToolCallContent))
    return "\n".join(b.text for b in blocks if isinstance(b, TextContentBlock))


async def converse(argv: list[str], permission: str, resume: str | None, prompt: str) -> int:
    """One turn; the exit code."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LONGEST_MESSAGE
    )
    listener = Listener(permission)
    heard = asyncio.StreamReader(limit=LONGEST_MESSAGE)
    hearing = asyncio.create_task(_hear(process.stdout, heard))
    connection = connect_to_agent(listener, process.stdin, heard)  # type: ignore[arg-type]
    here = str(Path.cwd())
    turn = asyncio.create_task(_turn(connection, listener, here, resume, prompt))
    gone = asyncio.create_task(process.wait())
    try:
        await asyncio.wait((turn, gone), return_when=asyncio.FIRST_COMPLETED)
        if not turn.done():
            await asyncio.wait((turn,), timeout=1.0)
        if not turn.done():
            print(f"the agent ended with exit code {gone.result()} before its turn did", file=sys.stderr)
            return 1
        return turn.result()
    finally:
        turn.cancel()
        hearing.cancel()
        if process.returncode is None:
            process.terminate()
            await asyncio.wait((gone,), timeout=END_SECONDS)
        await asyncio.gather(turn, hearing, return_exceptions=True)


async def _hear(printed: asyncio.StreamReader | None, heard: asyncio.StreamReader) -> None:
    """Hand on what an agent prints, as messages that the protocol's library can read; what is none is its word."""
    assert printed is not None
    try:
        while line := await printed.readline():
            text = line.decode(errors="replace").strip()
            if (message := lines.object_of(text)) is not None:
                heard.feed_data(json.dumps(message).encode() + b"\n")
            elif text:
                out("text", text=cut(text))
    except ValueError:
        out("problem", name="other", text=f"it printed a line of more than {LONGEST_MESSAGE >> 20} MiB")
    finally:
        heard.feed_eof()


async def _turn(connection: Any, listener: Listener, here: str, resume: str | None, prompt: str) -> int:  # noqa: ANN401
    try:
        hello = await connection.initialize(protocol_version=PROTOCOL_VERSION, client_capabilities=ClientCapabilities())
        session = resume
        if resume is not None:
            if not (hello.agent_capabilities and hello.agent_capabilities.load_session):
                out("problem", name="session", text="this agent can't load a session")
                return 1
            try:
                await connection.load_session(cwd=here, session_id=resume, mcp_servers=[])
            except RequestError as error:
                out("problem", name="session", text=str(error))
                return 1
        else:
            session = (await connection.new_session(cwd=here, mcp_servers=[])).session_id
        out("session", id=session)
        listener.listens = True
        answer = await connection.prompt(session_id=session, prompt=[text_block(prompt)])
    except RequestError as error:
        kind = "signed out" if error.code == AUTHENTICATION_REQUIRED else "other"
        out("problem", name=kind, text=f"{error}: {error.data}" if error.data else str(error))
        return 1
    listener.say()
    tokens = answer.usage.input_tokens + answer.usage.output_tokens if answer.usage else None
    ok = answer.stop_reason == "end_turn"
    text = listener.closing_words if ok else f"it stopped: {answer.stop_reason}"
    out("result", ok=ok, text=text, tokens=tokens)
    return 0 if ok else 1


def main() -> int:
    """Run the bridge; the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--permission", choices=tuple(_WANTED), required=True)
    parser.add_argument("--resume")
    parser.add_argument("agent", nargs="+")
    arguments = parser.parse_args()
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    os.environ.pop("PYTHONPATH", None)  # the bridge's, not the agent's
    prompt = sys.stdin.buffer.read().decode(errors="replace")
    try:
        return asyncio.run(converse(arguments.agent, arguments.permission, arguments.resume, prompt))
    except OSError as error:
        print(f"{arguments.agent[0]}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
