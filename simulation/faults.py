"""How bad a history is, drawn from its seed. After `until` nothing fails any more, and all must come to its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

SLOW = (0.0005, 0.005, 0.05, 0.3)


@dataclass(frozen=True)
class Profile:
    """Probabilities a message or a step, and mean seconds between disasters (0 = never)."""

    drop: float = 0.0
    double: float = 0.0
    reorder: float = 0.0
    die_at_a_step: float = 0.0
    """At each commit and each send, and just before and after it."""
    commit_unheard: float = 0.0
    """A commit that succeeds, and whose answer is an error."""
    connection_lost: float = 0.0
    """A round trip to Postgres that fails, and its transaction with it."""
    service_dies: float = 0.0
    broker_dies: float = 0.0
    daemon_dies: float = 0.0
    disk_lost: float = 0.0
    """A daemon that dies, and returns under its name without its journal."""
    stays_away: float = 0.0
    """A daemon that dies, and returns long after its leases."""
    daemon_cut: float = 0.0
    """Nothing passes between a daemon and the broker, in one direction or both, for up to 70 s."""
    postgres_away: float = 0.0
    slow: float = 0.005
    """Mean seconds that now and then pass between two round trips of a transaction, so that others come between."""
    swept: bool = True
    """Whether services sweep. Where messages arrive, and nobody dies, they need not."""
    until: float = 90.0
    two_of_each: bool = False
    both_lead: bool = False
    """Of two of each both lead for good: whatever a deposed one may still do, it does."""
    deposed: float = 0.0
    """A leader that stalls, and works on beside its successor until it hears of that."""


@dataclass
class Tally:
    """What a history went through."""

    kills: int = 0
    drops: int = 0
    doubles: int = 0
    late: int = 0
    losses: int = 0
    wipes: int = 0
    lock_waits: int = 0
    deadlocks: int = 0
    outages: int = 0
    cuts: int = 0
    depositions: int = 0
    refusals: int = 0
    commits: int = 0
    by_name: dict[str, int] = field(default_factory=dict)


def draw(rng: Random) -> Profile:
    """A profile: each fault is absent in some histories, so that those that need calm to show are found, too."""

    def sometimes(value: float) -> float:
        return value * rng.random() if rng.random() < 0.6 else 0.0

    def mean(seconds: float) -> float:
        return seconds * (0.5 + rng.random()) if rng.random() < 0.6 else 0.0

    if rng.random() < 0.1:
        return Profile(
            connection_lost=rng.uniform(0.01, 0.1),
            postgres_away=mean(25),
            slow=rng.choice(SLOW),
            until=rng.uniform(20, 120),
            swept=False,
        )
    return Profile(
        drop=sometimes(0.3),
        double=sometimes(0.3),
        reorder=sometimes(0.3),
        die_at_a_step=sometimes(0.02),
        commit_unheard=sometimes(0.02),
        connection_lost=sometimes(0.02),
        service_dies=mean(20),
        broker_dies=mean(40),
        daemon_dies=mean(25),
        disk_lost=rng.choice([0, 0, 0.5]),
        stays_away=rng.choice([0, 0, 0.3]),
        daemon_cut=mean(30),
        postgres_away=mean(60),
        slow=rng.choice(SLOW),
        until=rng.uniform(20, 120),
        two_of_each=rng.random() < 0.6,
        both_lead=rng.random() < 0.4,
        deposed=mean(15),
    )
