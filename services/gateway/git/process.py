"""git itself, serving one request as it serves its neighbours, with the repository's rules and none of the account's.

What comes goes to its standard input as fast as it takes it, what it says is handed on as fast as that is taken:
nothing is gathered here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

Settings = Sequence[tuple[str, str]]

SILENT_SECONDS = 60.0
"""Within that something has to move, either way: git itself says something every five seconds while it works."""
WHOLE_SECONDS = 1800.0
ENDING_SECONDS = 5.0
"""What git gets to remove what a push left half-done."""
MAX_PACK_BYTES = 8 << 30
_CHUNK = 64 << 10
_LONGEST_WORDS = 2000
_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LD_LIBRARY_PATH")
_SETTINGS: Settings = (
    ("core.alternateRefsCommand", "true"),  # what else the repository borrows from is told to nobody
    ("core.fsmonitor", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("receive.autogc", "false"),
    ("receive.fsckObjects", "true"),
    ("receive.maxInputSize", str(MAX_PACK_BYTES)),
    ("receive.shallowUpdate", "false"),
    ("safe.bareRepository", "all"),
    ("uploadpack.allowFilter", "false"),
    ("uploadpack.allowRefInWant", "false"),
)
"""They win over the repository's own. Its rules for what is pushed to it, and its hooks, count as for every push."""


class GitFailed(RuntimeError):
    """git ended badly before it said anything; its words."""


@dataclass(frozen=True)
class Coming:
    """What whoever asks sends, part by part; `gone` is awaited after that, and raises once they have gone."""

    parts: AsyncIterator[bytes]
    gone: Callable[[], Awaitable[NoReturn]]


async def serve(
    arguments: Sequence[str],
    settings: Settings,
    coming: Coming,
    hand_on: Callable[[bytes], Awaitable[None]],
    version: str | None = None,
) -> None:
    """Run git on what comes, and hand on what it says. However this ends, git has ended with it.

    Raises GitFailed, TimeoutError, OSError, and what `coming` and `hand_on` raise.
    """
    process = await _start(arguments, _environment([*_SETTINGS, *settings, *await _safe()], version))
    try:
        async with asyncio.timeout(WHOLE_SECONDS), asyncio.timeout(SILENT_SECONDS) as silence:
            moved = _renewing(silence)
            working = [
                asyncio.create_task(_speak(process, hand_on, moved)),
                asyncio.create_task(_feed(process, coming, moved)),
            ]
            words = asyncio.create_task(_words(process))
            try:
                done, _ = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
                said = [one.result() for one in done]
                if not any(said) and await process.wait():
                    raise GitFailed(await words or "it said nothing")
            finally:
                for one in (*working, words):
                    one.cancel()
                await asyncio.gather(*working, words, return_exceptions=True)
    finally:
        await asyncio.shield(_end(process))


async def ask(*arguments: str) -> str:
    """What git says to a question; nothing where it has no answer."""
    return await _answer(arguments, _environment([*_SETTINGS, *await _safe()]))


async def read(arguments: Sequence[str], most: int) -> tuple[bytes, bool]:
    """What git says, up to `most` bytes, and whether that is all of it. Raises GitFailed, TimeoutError, OSError."""
    process = await _start(arguments, _environment([*_SETTINGS, *await _safe()]))
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    words = asyncio.create_task(_words(process))
    try:
        async with asyncio.timeout(SILENT_SECONDS):
            said = b""
            while len(said) <= most and (data := await process.stdout.read(_CHUNK)):
                said += data
            if len(said) <= most and await process.wait():
                raise GitFailed(await words or "it said nothing")
    finally:
        words.cancel()
        await asyncio.shield(_end(process))
    return said[:most], len(said) <= most


async def _answer(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    process = await _start(arguments, environment)
    try:
        async with asyncio.timeout(SILENT_SECONDS):
            out, _ = await process.communicate()
    finally:
        await asyncio.shield(_end(process))
    return out.decode(errors="surrogateescape") if process.returncode == 0 else ""


async def _safe() -> Settings:
    """The account's word on which folders of others it trusts."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    said = await _answer(("config", "--includes", "-z", "--get-all", "safe.directory"), own)
    return [("safe.directory", value) for value in said.split("\0")[:-1]]


async def _start(arguments: Sequence[str], environment: Mapping[str, str]) -> Process:
    return await asyncio.create_subprocess_exec(
        *("git", *arguments),
        cwd="/",
        env=environment,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
        limit=_CHUNK,
    )


async def _feed(process: Process, coming: Coming, moved: Callable[[], None]) -> NoReturn:
    """Give git what comes; what it doesn't take any more goes nowhere."""
    assert process.stdin is not None
    async for data in coming.parts:
        moved()
        with contextlib.suppress(
            BrokenPipeError, ConnectionResetError, RuntimeError
        ):  # as uvloop says that it is closed
            process.stdin.write(data)
            await process.stdin.drain()
    process.stdin.close()
    await coming.gone()


async def _speak(process: Process, hand_on: Callable[[bytes], Awaitable[None]], moved: Callable[[], None]) -> bool:
    """Hand on what git says, to its end; whether it said anything."""
    assert process.stdout is not None
    said = False
    while data := await process.stdout.read(_CHUNK):
        said = True
        await hand_on(data)
        moved()
    return said


async def _words(process: Process) -> str:
    """The beginning of what it says on standard error, all of which is read."""
    assert process.stderr is not None
    words = b""
    while data := await process.stderr.read(_CHUNK):
        words = (words + data)[:_LONGEST_WORDS]
    return " ".join(words.decode(errors="replace").split())


async def _end(process: Process) -> None:
    """End it and its helpers. A push that nothing more comes of is given up by git itself, which leaves nothing behind;
    ended by a signal, it may leave what its helper was just writing."""
    assert process.stdin is not None
    process.stdin.close()
    for signal_, seconds in ((None, ENDING_SECONDS), (signal.SIGTERM, ENDING_SECONDS), (signal.SIGKILL, None)):
        if process.returncode is None and signal_ is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal_)
        if process.returncode is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_unheard(process), seconds)


async def _unheard(process: Process) -> None:
    """Its exit; what it still says goes nowhere."""
    assert process.stdout is not None
    assert process.stderr is not None
    for pipe in (process.stdout, process.stderr):
        while await pipe.read(_CHUNK):
            pass
    await process.wait()


def _renewing(silence: asyncio.Timeout) -> Callable[[], None]:
    loop = asyncio.get_running_loop()
    return lambda: silence.reschedule(loop.time() + SILENT_SECONDS)


def _environment(settings: Settings, version: str | None = None) -> dict[str, str]:
    """What git sees of this process and its account: where programs are, and these settings."""
    variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    variables |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for number, (key, value) in enumerate(settings):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables if version is None else {**variables, "GIT_PROTOCOL": version}
