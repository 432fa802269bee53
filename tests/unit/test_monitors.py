"""Which monitors the broker hands reports to, and how much waits for one that takes nothing."""

from services.broker.monitors import READY_SECONDS, WAITING_BYTES, Monitors


def able(monitors: Monitors, now: float = 0.0) -> list[bytes]:
    return list(monitors.able(now))


def test_the_newest_leader_comes_first_and_one_unheard_of_not_at_all() -> None:
    monitors = Monitors()
    assert monitors.ready(b"m1", 0, 0.0)
    assert monitors.ready(b"m2", 0, 1.0)
    assert not monitors.ready(b"m2", 0, 2.0)
    assert able(monitors, 2.0) == [b"m2", b"m1"]
    assert able(monitors, READY_SECONDS + 1.0) == [b"m2"]


def test_one_that_takes_nothing_gets_no_more_than_so_many_bytes_until_it_does() -> None:
    monitors = Monitors()
    monitors.ready(b"m", 700, 0.0)  # it took that of an earlier broker
    for _ in range(WAITING_BYTES >> 20):
        monitors.handed(b"m", 1 << 20)
    assert able(monitors) == [b"m"]
    monitors.handed(b"m", 1)
    assert able(monitors) == []
    monitors.ready(b"m", 700, 1.0)
    assert able(monitors, 1.0) == []
    monitors.ready(b"m", 701, 2.0)
    assert able(monitors, 2.0) == [b"m"]


def test_one_that_cannot_be_reached_is_forgotten() -> None:
    monitors = Monitors()
    monitors.ready(b"m", 0, 0.0)
    monitors.gone(b"m")
    assert able(monitors) == []
