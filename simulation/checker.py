"""What must hold of a history: by the daemons' own eyes, the audit log and the tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import LiteralString

from shared.messages.reports import OutputBatch, TaskFailed, TaskInterrupted, TaskSucceeded
from simulation.daemons import Key, Seen
from simulation.database import Server
from simulation.faults import Tally
from simulation.forge import URL, Forge
from simulation.replay import DIRECTIVES, EVENTS, STEPS, TASKS, differences, replay, standing


@dataclass(frozen=True)
class Breach:
    """A promise that was not kept."""

    promise: str
    detail: str


ALWAYS: dict[str, LiteralString] = {
    "a task on a daemon has a lease": """
        SELECT id FROM makima.task WHERE status IN ('starting', 'running', 'paused') AND lease_until IS NULL""",
    "at most one live task a step": """
        SELECT step_id FROM makima.task WHERE kind = 'step' AND status IN ('pending', 'starting', 'running', 'paused')
         GROUP BY step_id HAVING count(*) > 1""",
    "at most one live planning, and one live delivery, a directive": """
        SELECT directive_id FROM makima.task WHERE kind <> 'step'
           AND status IN ('pending', 'starting', 'running', 'paused')
         GROUP BY directive_id, kind = 'plan' HAVING count(*) > 1""",
}
"""Statements that return a row for each breach, at every moment."""
GOING: LiteralString = "status IN ('active', 'idle')"
_MOMENT: LiteralString = (
    "SELECT -1 AS number, last_value::text AS detail FROM makima.event_seq_seq"
    f" UNION ALL SELECT -2, title || ' is ' || status FROM makima.directive WHERE {GOING}"
) + "".join(
    f" UNION ALL SELECT {number}, breach::text FROM ({text}) AS breach" for number, text in enumerate(ALWAYS.values())
)


AT_REST: dict[str, LiteralString] = {
    "a live task in a directive that has ended": """
        SELECT t.id, t.status, d.status AS directive FROM makima.task t JOIN makima.directive d ON d.id = t.directive_id
         WHERE t.status IN ('starting', 'running', 'paused') AND d.status IN ('completed', 'archived')""",
    "a completed directive with a step left over": """
        SELECT s.id, s.status, s.held_by, s.delivered, d.on_failure FROM makima.step s
          JOIN makima.directive d ON d.id = s.directive_id
         WHERE d.status = 'completed'
           AND (s.status NOT IN ('completed', 'skipped', 'failed') OR s.held_by IS NOT NULL
                OR s.status = 'completed' AND NOT s.delivered)""",
    "a directive paused without a reason": """
        SELECT id FROM makima.directive WHERE status = 'paused' AND coalesce(pause_reason, '') = ''""",
    "a completed step without exactly one effective attempt": """
        SELECT s.id, count(a.number) AS attempts FROM makima.step s
          LEFT JOIN makima.task t ON t.step_id = s.id
          LEFT JOIN makima.attempt a ON a.task_id = t.id AND a.outcome = 'succeeded'
         WHERE s.status = 'completed' GROUP BY s.id HAVING count(a.number) <> 1""",
    "fencing: a step's branch is not its effective attempt's": """
        SELECT s.id, s.branch, a.branch AS attempts, a.daemon FROM makima.step s
          JOIN makima.task t ON t.step_id = s.id
          JOIN makima.attempt a ON a.task_id = t.id AND a.outcome = 'succeeded'
         WHERE s.status = 'completed' AND (s.branch IS DISTINCT FROM a.branch
            OR split_part(s.branch, '@', 2) <> a.daemon OR a.number <> t.attempt)""",
    "an ended task with an attempt left open": """
        SELECT t.id, t.status, t.attempt, a.number FROM makima.task t JOIN makima.attempt a ON a.task_id = t.id
         WHERE a.ended_at IS NULL AND (t.status IN ('completed', 'failed', 'cancelled') OR a.number < t.attempt)""",
    "failures and losses are counted by attempt": """
        SELECT t.id, t.status, t.attempt, t.failures, t.losses, array_agg(a.outcome ORDER BY a.number) AS outcomes
          FROM makima.task t JOIN makima.attempt a ON a.task_id = t.id
         GROUP BY t.id HAVING count(*) FILTER (WHERE a.outcome = 'failed') <> t.failures
                           OR count(*) FILTER (WHERE a.outcome IN ('lost', 'interrupted')) <> t.losses""",
    "a task fails when its attempts are used up, and not before": """
        SELECT t.id, t.failures, t.losses FROM makima.task t JOIN makima.directive d ON d.id = t.directive_id
         WHERE t.status = 'failed' AND t.failures < d.max_attempts AND t.losses <= 5
            OR t.failures > d.max_attempts OR t.losses > 6""",
    "output is kept of whoever has the attempt, only": """
        SELECT o.task_id, o.attempt, a.daemon, o.events FROM makima.task_output o
          LEFT JOIN makima.attempt a ON a.task_id = o.task_id AND a.number = o.attempt
         WHERE EXISTS (SELECT FROM jsonb_array_elements_text(o.events) AS line
                        WHERE split_part(line, ' ', 1) IS DISTINCT FROM a.daemon)""",
    "a step done twice": """
        SELECT step_id, count(*) FROM makima.task WHERE kind = 'step' AND status = 'completed'
         GROUP BY step_id HAVING count(*) > 1""",
}
"""Statements that return a row for each breach, once everything has ended."""


_GAPS = """
    SELECT task_id, attempt, first_seq FROM (
        SELECT o.task_id, o.attempt, o.first_seq, lag(o.last_seq, 1, -1) OVER w AS before FROM makima.task_output o
          JOIN makima.attempt a ON a.task_id = o.task_id AND a.number = o.attempt AND a.outcome = 'succeeded'
        WINDOW w AS (PARTITION BY o.task_id, o.attempt ORDER BY o.first_seq)) AS output
     WHERE first_seq <> before + 1"""
"""Output of attempts that succeeded of which an earlier part is missing."""


@dataclass(frozen=True)
class Moment:
    """How a history stands."""

    changes: int
    """How many the audit log holds."""
    left: list[str]
    """Directives that have not ended."""
    breaches: list[Breach]
    """Of the promises that hold at every moment."""


def moment(server: Server) -> Moment:
    """Look at the tables; one statement, since it is asked every simulated second."""
    names, found = list(ALWAYS), server.rows(_MOMENT)
    (changes,) = (int(row["detail"]) for row in found if row["number"] == -1)
    return Moment(
        changes=changes,
        left=sorted(row["detail"] for row in found if row["number"] == -2),
        breaches=[Breach(names[row["number"]], row["detail"]) for row in found if row["number"] >= 0],
    )


def check(server: Server, seen: Seen, tally: Tally, forge: Forge) -> list[Breach]:
    """All promises, once everything has ended."""
    lost = server.rows("SELECT count(*) AS lost FROM makima.attempt WHERE outcome = 'lost'")
    tally.losses, tally.refusals = lost[0]["lost"], len(seen.refused)
    breaches = [Breach(what, f"{rows[:3]}") for what, text in AT_REST.items() if (rows := server.rows(text))]
    return (
        breaches
        + _replayed(server)
        + _dependencies(server)
        + _attempts(server)
        + _acknowledged(server, seen)
        + _whole_output(server, seen)
        + _holders(seen)
        + _delivered(server, forge)
    )


def _delivered(server: Server, forge: Forge) -> list[Breach]:
    """On a forge: what was done is on a branch or in the base, and in the base where a directive is completed."""
    steps = server.rows(
        """SELECT s.branch, d.status, s.delivered FROM makima.step s JOIN makima.directive d ON d.id = s.directive_id
            WHERE d.repository_url = %(url)s AND s.status = 'completed'""",
        {"url": URL},
    )
    there = forge.everywhere()
    lost = [row["branch"] for row in steps if row["branch"] not in there]
    untrue = [
        row["branch"]
        for row in steps
        if row["status"] == "completed" and row["delivered"] and row["branch"] not in forge.base
    ]
    by_hand = sorted(forge.by_hand - there)
    told = {"what was done is on the remote": lost, "completed, and the base holds it": untrue}
    told["nobody's commit is lost"] = by_hand
    return [Breach(promise, f"{found[:3]}") for promise, found in told.items() if found]


def _replayed(server: Server) -> list[Breach]:
    """The audit log replays to the same state as the tables, by transitions that there are."""
    tables = standing(server.rows(DIRECTIVES), server.rows(STEPS), server.rows(TASKS))
    log = replay(server.rows(EVENTS))
    differing = differences(log, tables)
    told = {"the audit log replays to the tables": differing, "the audit log holds every change": log.skips}
    return [Breach(promise, "; ".join(found[:3])) for promise, found in told.items() if found]


def _dependencies(server: Server) -> list[Breach]:
    """No step starts before all that it depends on, and every lower order that counted then, is settled."""
    needs: dict[str, list[str]] = {}
    for row in server.rows("SELECT step_id, depends_on FROM makima.step_dependency"):
        needs.setdefault(str(row["step_id"]), []).append(str(row["depends_on"]))
    by_task = {
        str(row["id"]): str(row["step_id"])
        for row in server.rows("SELECT id, step_id FROM makima.task WHERE kind = 'step'")
    }
    settled: set[str] = set()
    breaches = []
    for event in server.rows("SELECT seq, type, body FROM makima.event ORDER BY seq"):
        body = event["body"]
        if event["type"] == "step.changed":
            if body["status"] in ("completed", "skipped"):
                settled.add(body["step"])
            else:
                settled.discard(body["step"])
        if event["type"] != "task.changed" or body.get("status") != "starting":
            continue
        step = by_task.get(body["task"], "")
        if early := [n for n in needs.get(step, ()) if n not in settled]:
            breaches.append(Breach("dependencies", f"step {step} started at {event['seq']} before {early}"))
    return breaches


def _attempts(server: Server) -> list[Breach]:
    """By the audit log: a task's attempts count up one by one, and nothing follows a task's end."""
    last: dict[str, tuple[int, str]] = {}
    started: set[tuple[str, int]] = set()
    breaches = []
    for event in server.rows("SELECT seq, body FROM makima.event WHERE type = 'task.changed' ORDER BY seq"):
        body = event["body"]
        task, attempt, status = body["task"], body.get("attempt", 0), body.get("status", "")
        if status in ("", None) or body.get("asked"):
            continue
        before = last.get(task, (attempt, "pending"))
        if before[1] in ("completed", "failed", "cancelled"):
            breaches.append(Breach("nothing follows an end", f"task {task}: {before} then {(attempt, status)}"))
        if not before[0] <= attempt <= before[0] + 1:
            breaches.append(Breach("attempts count up", f"task {task}: {before} then {(attempt, status)}"))
        if status == "starting":
            started.add((task, attempt))
        if status == "running" and (task, attempt) not in started:
            breaches.append(Breach("what runs was started", f"task {task}: {before} then {(attempt, status)}"))
        if before == (attempt, "running") and status in ("pending", "starting"):
            breaches.append(Breach("an attempt starts once", f"task {task}: {before} then {(attempt, status)}"))
        last[task] = (attempt, status)
    return breaches


def _acknowledged(server: Server, seen: Seen) -> list[Breach]:
    """What was acknowledged is kept: an end as its attempt's, output as a row."""
    ended = {
        (row["task_id"], row["number"], row["daemon"])
        for row in server.rows("SELECT task_id, number, daemon FROM makima.attempt WHERE outcome IS NOT NULL")
    }
    output = {
        (row["task_id"], row["attempt"], row["first_seq"])
        for row in server.rows("SELECT task_id, attempt, first_seq FROM makima.task_output")
    }
    breaches = []
    for daemon, report in seen.acknowledged:
        key = (report.task, report.attempt)
        if isinstance(report, TaskSucceeded | TaskFailed | TaskInterrupted) and (*key, daemon) not in ended:
            breaches.append(Breach("an acknowledged report is kept", f"{type(report).__name__} {key} of {daemon}"))
        if isinstance(report, OutputBatch) and (*key, report.first) not in output:
            breaches.append(Breach("acknowledged output is kept", f"{key} from line {report.first} of {daemon}"))
    return breaches


def _whole_output(server: Server, seen: Seen) -> list[Breach]:
    """Nothing is missing before what was printed last; unless a daemon lost its disk and ran an attempt once more."""
    runs = Counter(key for _, _, key in seen.ran)
    gaps = [row for row in server.rows(_GAPS) if runs[row["task_id"], row["attempt"]] < 2]
    return [Breach("output lost in the middle", f"{gaps[:3]}")] if gaps else []


def _holders(seen: Seen) -> list[Breach]:
    """By the daemons' own eyes: the reports of one daemon at most count for an attempt."""
    holders: dict[Key, set[str]] = {}
    for daemon, report in seen.acknowledged:
        holders.setdefault((report.task, report.attempt), set()).add(daemon)
    return [Breach("an attempt is one daemon's", f"{k}: {sorted(d)}") for k, d in holders.items() if len(d) > 1]
