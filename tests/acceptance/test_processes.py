"""The cluster as processes: each its own, all started by `up`, none left after `down`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.cluster.service import SERVICES
from tests.conftest import Cluster
from tests.postgres import home


@pytest.fixture
def bare() -> Iterator[Cluster]:
    """A cluster that isn't up yet, on an empty home."""
    with home() as folder:
        cluster = Cluster(folder / "home")
        yield cluster
        cluster.run("down")


def family(cluster: Cluster) -> list[psutil.Process]:
    """The supervisor and all that came of it."""
    supervisor = psutil.Process(json.loads(cluster.makima("status", "-o", "json"))["pid"])
    return [supervisor, *supervisor.children(recursive=True)]


def test_up_from_nothing_shows_every_part_as_a_process_of_its_own_and_down_leaves_none(bare: Cluster) -> None:
    said = bare.makima("up", "--detach", "--daemons", "2")
    assert f"makima is up: http://127.0.0.1:{bare.environment['MAKIMA_PORT']}" in said
    status = json.loads(bare.makima("status", "-o", "json"))
    assert set(status["processes"]) == {"postgres", *SERVICES, "daemon-1", "daemon-2"}
    assert len(set(status["processes"].values())) == len(status["processes"])
    for name, pid in status["processes"].items():
        argv = " ".join(psutil.Process(pid).cmdline())
        assert ("bin/postgres" if name == "postgres" else f"services.{name.split('-')[0]}") in argv
    assert status["trouble"] is None
    assert status["overview"]["daemons"] == {"connected": 2}
    processes = family(bare)
    bare.makima("down")
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert not alive
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(bare.home) in " ".join(p.info["cmdline"] or ())]
    assert "no cluster runs on" in bare.makima("down")


def test_a_home_that_was_up_before_comes_up_again_with_what_it_held(bare: Cluster, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("- name: a\n")
    bare.makima("up", "--detach", "--daemons", "1")
    made = bare.makima("directive", "create", "--title", "Kept", "--plan", str(tmp_path / "plan.yaml"), "--quiet")
    bare.makima("down")
    bare.makima("up", "--detach", "--daemons", "0")
    assert bare.show(made.strip())["title"] == "Kept"


def test_processes_without_a_supervisor_are_a_cluster_too(bare: Cluster) -> None:
    bare.makima("up", "--detach", "--daemons", "1")
    said = bare.home / "run" / "cluster.json"
    said.rename(said.with_suffix(".kept"))  # as in containers, where each process is started by itself
    status = bare.makima("status")
    assert "makima runs at unix://" in status and "1 connected, 0 of 4 slots taken" in status
    verdicts = {f["name"]: f["verdict"] for f in json.loads(bare.makima("doctor", "-o", "json"))["findings"]}
    assert {verdicts[name] for name in ("port", "postgres", "broker", "daemons")} == {"ok"}
    said.with_suffix(".kept").rename(said)


def test_doctor_says_what_is_in_force_and_what_is_missing(bare: Cluster) -> None:
    bare.environment["MAKIMA_SLOTS"] = "7"
    bare.makima("up", "--detach", "--daemons", "1")
    told = json.loads(bare.makima("doctor", "-o", "json"))
    verdicts = {found["name"]: found["verdict"] for found in told["findings"]}
    assert {
        verdicts[name] for name in ("settings", "git", "git-lfs", "home", "port", "postgres", "broker", "daemons")
    } == {"ok"}
    assert all(found["fix"] for found in told["findings"] if found["verdict"] != "ok")
    assert told["settings"]["slots"] == "7"
    bare.environment["MAKIMA_POSTGRES_URL"] = "postgresql://somebody:secret@127.0.0.1:1/x"
    bare.makima("down")
    del bare.environment["MAKIMA_SLOTS"]
    done = bare.run("doctor")
    assert done.returncode == 1
    assert "✘ postgres" in done.stdout
    assert "secret" not in done.stdout
