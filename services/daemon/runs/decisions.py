"""What follows when an agent's run has ended: it did well, it is run again, or the attempt is over. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.daemon.agents.events import Trouble
from services.daemon.runs.run import Ended, ending
from services.daemon.runs.watchdogs import Stop
from shared.domain.texts import one_line

MAX_LIMIT_SECONDS = 8 * 24 * 3600.0
"""An agent that says a longer time is waited for no longer."""
MAX_AFRESH = 3
"""So often an attempt goes on in a new conversation because the last one grew too long."""
TAIL_CHARACTERS = 6000
LINE_CHARACTERS = 200
MAX_DENIALS = 10
"""So many are named."""
PERMISSIONS = {
    "claude": "allowed_tools, permission_mode",
    "codex": "permission_mode, its sandbox",
    "acp": 'permission_mode = "allow"',
}
"""What of an agent's settings allows it more, by its kind."""

RESUMED = (
    "You were interrupted in this task, and go on now. Your working copy may be a fresh one: look at its state first, "
    "and do again what is missing. The task, once more:"
)
STALLED = "You were silent for too long and were stopped. Go on where you were; avoid commands that wait for input."
TOO_LONG = (
    "An earlier conversation about this task outgrew the model, and you go on in a new one. Your working copy holds "
    "what was done so far: look at its state first, and do what is missing. The earlier conversation ended with:"
)
NO_RESULT = "You ended before you were done. Look at the state of the work, go on, and finish it."


class Well(msgspec.Struct, frozen=True):
    """The run ended well."""


class Again(msgspec.Struct, frozen=True):
    """Run the agent once more, in the same session, with these words."""

    prompt: str
    why: str


class Afresh(msgspec.Struct, frozen=True):
    """Run the agent once more, in a new session: the one before is gone, or has grown too long."""

    why: str
    summary: bool = False
    """It is told how the one before ended."""


class Over(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt is over.

    `wait_seconds`: no failure, it goes on after so long; 0: nobody knows how long. `blocked`: a person must fix
    something first.
    """

    reason: str
    exit_code: int | None = None
    permanent: bool = False
    blocked: bool = False
    wait_seconds: float | None = None
    forgets_session: bool = False
    """Its session is never to be resumed."""


Next = Well | Again | Afresh | Over


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What of an attempt decides, besides the run that just ended."""

    agent: str
    speaks: bool
    resumable: bool
    """The agent has a session that can be resumed."""
    resumed: int = 0
    """How often it was resumed after it stalled or ended without a result."""
    began: bool = False
    """The run that ended had begun its session."""
    afresh: int = 0
    """How often it was begun anew already."""
    sign_in: str = ""
    """What a person does to sign the agent in."""


def after(ended: Ended, told: Told) -> Next:
    """What follows."""
    name = told.agent
    if ended.out_of_memory or ended.stopped is Stop.MEMORY:
        return Over(reason=f"the agent {name} used more memory than it may", exit_code=ended.code)
    if ended.stopped is Stop.TOKENS:
        return Over(reason=f"the agent {name} used up its tokens: {ended.tokens}", permanent=True)
    if ended.problem is not None and not (ended.result and ended.result.ok):
        return _troubled(ended, told)
    if ended.stopped is Stop.STALLED:
        why = f"the agent {name} was silent for too long"
        return Again(STALLED, why) if told.resumable and not told.resumed else Over(reason=f"{why}: stopped")
    if ended.result is not None:
        if ended.result.ok:
            return Well()
        return Over(reason=f"the agent {name} says that it failed: {ended.result.text or 'no reason given'}")
    if ended.code:
        return Over(reason=f"the agent {name} ended with {ending(ended.code)}", exit_code=ended.code)
    if not told.speaks:
        return Well()
    why = f"the agent {name} ended without a result"
    return Again(NO_RESULT, why) if told.resumable and not told.resumed else Over(reason=why, exit_code=0)


def _troubled(ended: Ended, told: Told) -> Next:
    assert ended.problem is not None
    problem, name = ended.problem, told.agent
    match problem.trouble:
        case Trouble.LIMITED:
            seconds = _within(problem.seconds or 0.0)
            return Over(reason=f"{name} has reached a limit: {problem.text}", wait_seconds=seconds)
        case Trouble.UNAVAILABLE:
            reason = f"{name}'s model can't be asked now: {problem.text}"
            return Over(reason=reason, wait_seconds=_within(problem.seconds or 0.0))
        case Trouble.SIGNED_OUT:
            fix = f"{told.sign_in or 'sign it in'}, then resume"
            return Over(reason=f"{name} is not signed in: {problem.text}; {fix}", blocked=True)
        case Trouble.NO_CREDIT:
            fix = "add credit or raise the limit of its account, then resume"
            return Over(reason=f"{name} has no credit left: {problem.text}; {fix}", blocked=True)
        case Trouble.REFUSED:
            fix = f"fix the account or [agents.{name}], then resume"
            return Over(reason=f"{name} was refused: {problem.text}; {fix}", blocked=True)
        case Trouble.TOO_LONG:
            return _too_long(ended, told)
        case Trouble.BUDGET:
            return Over(reason=f"{name} used up its budget: {problem.text}", permanent=True)
        case Trouble.SESSION if not told.afresh:
            return Afresh(f"{name} doesn't know the session any more")
        case Trouble.TURNS:
            return Over(reason=f"{name} used up its turns: {problem.text}")
        case _:
            return Over(reason=f"{name} failed: {problem.text}", exit_code=ended.code or None)


def _within(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_LIMIT_SECONDS)


def _too_long(ended: Ended, told: Told) -> Next:
    name = told.agent
    if told.began and not ended.tokens:
        return Over(reason=f"the prompt alone is longer than {name} takes: shorten the task", permanent=True)
    if told.afresh < MAX_AFRESH:
        return Afresh(f"the conversation outgrew the model of {name}", summary=True)
    return Over(reason=f"{name} outgrew its model {told.afresh + 1} times in this attempt", forgets_session=True)


def setup_failed(command: str, why: str, tail: str) -> Over:
    """The end of an attempt whose agent could not begin, which is no fault of the agent's."""
    fix = "fix it in the repository or on the daemon's machine, then resume"
    return Over(reason=f"the repository's setup `{command}` fails: {why}{last_line(tail)}; {fix}", blocked=True)


def last_line(tail: str) -> str:
    """How an output ends, to be said behind an exit code; the whole tail goes with the report."""
    lines = [line for line in map(one_line, tail.splitlines()) if line]
    return f": {lines[-1][:LINE_CHARACTERS]}" if lines else ""


def denied(agent: str, kind: str, what: Sequence[str]) -> Over:
    """The end of an agent that says that it did well, changed nothing, and was denied what it asked for."""
    fix = f"allow it in [agents.{agent}] ({PERMISSIONS.get(kind, 'its permissions')}), then resume"
    return Over(reason=f"the agent {agent} changed nothing, and was denied: {_listed(what)}; {fix}", blocked=True)


def with_denials(outcome: str, what: Sequence[str]) -> str:
    """An agent's closing words, with what it was denied."""
    return f"{outcome}\n\nIt was denied: {_listed(what)}".strip() if what else outcome


def _listed(what: Sequence[str]) -> str:
    more = len(what) - MAX_DENIALS
    return "; ".join(what[:MAX_DENIALS]) + (f"; and {more} more" if more > 0 else "")


def begun_anew(task: str, tail: str) -> str:
    """The prompt of a new conversation that goes on with what another one began."""
    return f"{TOO_LONG}\n\n{tail[-TAIL_CHARACTERS:]}\n\nThe task:\n\n{task}"


def check_failed(command: str, output: str) -> str:
    """The words with which an agent is resumed after the check failed."""
    return (
        f"The check `{command}` fails on your work. Mend what it says, and run it yourself before you end.\n"
        f"Its output ends with:\n\n{output[-TAIL_CHARACTERS:]}"
    )
