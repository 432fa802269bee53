"""Backup, restore into a new home that carries on, and what is old goes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random

import pytest

from services.monitor import retention
from services.monitor.rows import FORGET_EVENTS, FORGET_OUTPUT
from shared.bus.zeromq import ZeroMQ
from shared.config import load
from shared.service.phase import Context
from shared.store.database import connect
from tests.conftest import Cluster
from tests.faults import jobs
from tests.faults.conftest import Faulty
from tests.nothing_lost import assert_nothing_lost, rows


def test_a_backup_taken_in_mid_work_carries_on_in_a_new_home(
    faulty: Faulty, origin: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plan = origin.parent / "plan.json"
    go = origin.parent / "go"
    waits = f"while [ ! -e '{go}' ]; do sleep 0.1; done"
    plan.write_text(
        json.dumps(
            [{"name": n, "taskPlan": f"{waits if n == 'b' else ''}\necho {n} > {n}.txt"} for n in ("a", "b", "c")]
        )
    )
    directive = jobs.create(faulty, "--repo", str(origin), "--plan", str(plan), "--max-parallel", "1")
    jobs.await_row(lambda: rows(faulty, "SELECT name FROM makima.step WHERE status = 'completed'"), lambda _: True)
    backup = origin.parent / "backup"
    faulty.makima("db", "backup", str(backup))
    faulty.makima("directive", "pause", directive)
    go.touch()
    times = {k.removeprefix("MAKIMA_").lower(): v for k, v in faulty.environment.items() if k.endswith("_SECONDS")}
    restored = Cluster(tmp_path_factory.mktemp("new"), **times)
    restored.makima("db", "restore", str(backup))
    restored.makima("up", "--detach")
    try:
        jobs.await_status(restored, directive, "completed", within_seconds=90)
        assert_nothing_lost(restored)
    finally:
        restored.makima("down")
    assert "holds a database already" in restored.makima("db", "restore", str(backup), code=1)
    faulty.makima("directive", "archive", directive)


def test_what_is_no_backup_is_refused_and_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no backup")
    new = Cluster(tmp_path / "home")
    assert "pg_restore" in new.makima("db", "restore", str(tmp_path / "file"), code=1)
    assert not (tmp_path / "home" / "postgres").exists()


def test_what_is_old_goes_in_batches(faulty: Faulty, origin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.deliver(faulty, origin)
    monkeypatch.setattr(retention, "BATCH", 2)
    settings = load(faulty.environment)

    async def forget_all() -> list[int]:
        bus = ZeroMQ(settings, "monitor")
        async with connect(settings.postgres()) as database:
            context = Context(settings=settings, database=database, bus=bus, rng=Random(1))
            kept = await retention.forget(context, FORGET_EVENTS, 1.0)
            gone = [await retention.forget(context, forget, 0.0) for forget in (FORGET_OUTPUT, FORGET_EVENTS)]
        bus.close()
        return [kept, *gone]

    before = rows(faulty, "SELECT count(*) AS n FROM makima.event")[0]["n"]
    assert asyncio.run(forget_all()) == [0, 2, 2]
    assert rows(faulty, "SELECT count(*) AS n FROM makima.event")[0]["n"] == before - 2
