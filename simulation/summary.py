"""What a run came to, in words: for the terminal, and for the sections of docs/reliability.md that are written here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from simulation.history import Outcome
from simulation.planted import Found

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
COUNTED = {
    "kills": "processes killed",
    "wipes": "daemons returned without their disk",
    "cuts": "daemons cut off",
    "losses": "leases lost",
    "refusals": "attempts refused as not theirs any more",
    "outages": "times Postgres was away",
    "depositions": "leaders deposed unawares",
    "commits": "commits",
    "lock_waits": "waits for another transaction's lock",
    "deadlocks": "deadlocks",
    "drops": "messages dropped",
    "doubles": "messages doubled",
    "late": "messages out of order",
}
"""The fields of a tally that are counted up, and what they count."""


def figures(outcomes: Sequence[Outcome], seconds: float, used: float, jobs: int) -> list[str]:
    """What a run took, as a table; `used` are the seconds of processor time, Postgres's included."""
    hours = sum(o.seconds for o in outcomes) / 3600
    killed = sum((Counter(o.tally.by_name) for o in outcomes), Counter[str]())
    kinds: Counter[str] = Counter()
    for name, count in killed.items():
        kinds["daemons" if name.startswith("d") else name] += count
    seeds = f"{outcomes[0].seed} to {outcomes[-1].seed}" if outcomes else "none"
    rows = [
        ("seeds", f"{seeds}, {sum(not o.breaches for o in outcomes)} of {len(outcomes)} clean"),
        (
            "simulated",
            f"{hours:.1f} hours, in {seconds:,.0f} s with {jobs} processes ({used:,.0f} s of processor time)",
        ),
        *((what, f"{sum(getattr(o.tally, name) for o in outcomes):,}") for name, what in COUNTED.items()),
        ("killed", ", ".join(f"{name} {count}" for name, count in sorted(kinds.items()))),
    ]
    return ["| | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)]


def breaches(outcomes: Iterable[Outcome]) -> list[str]:
    """Each promise that was not kept, and the command that replays it."""
    return [f"just simulate --seed {o.seed}: {b.promise}: {b.detail[:600]}" for o in outcomes for b in o.breaches]


def table_of_bugs(all_found: Iterable[Found]) -> list[str]:
    """Which seed shows which planted bug."""
    return [
        "| planted bug | first seed that shows it | by the promise |",
        "|---|---|---|",
        *(f"| {found.bug} | {found.seed or 'none'} | {found.promise} |" for found in all_found),
    ]


def write(section: str, lines: Iterable[str], page: Path = PAGE) -> None:
    """Put lines in a section of the page, between its marks. Raises ValueError when the page has no such section."""
    begin, end = f"<!-- {section}: written by simulation -->\n", f"<!-- {section}: end -->\n"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"{page.name} has no section {section}")
    page.write_text(before + begin + "\n" + "\n".join(lines) + "\n\n" + end + after, encoding="utf-8")
