"""The cluster and the machine that it runs on: odd homes, files that a power loss left, processes that come and go."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from shared.config import load
from shared.config.embedded_url import SUPERUSER, embedded_url
from shared.store import embedded
from tests.faults.conftest import Faulty
from tests.postgres import home
from tests.sampled import sampled
from tests.waiting import until


@pytest.fixture
def cluster() -> Iterator[Faulty]:
    with home() as folder:
        running = Faulty(folder, sweep_seconds="3600", postgres_url="")
        del running.environment["MAKIMA_POSTGRES_URL"]
        yield running
        running.makima("down")


def end_at_once(cluster: Faulty) -> None:
    """What a power loss does to every process of it."""
    victims = [psutil.Process(pid) for pid in (cluster.state()["pid"], *cluster.processes().values())]
    victims += [child for victim in victims for child in victim.children(recursive=True)]
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            victim.kill()
    psutil.wait_procs(victims)


NAMES = ("a home", "x" * 120, "it's 50%, ünusual", 'new\nline: "a\\b"')


@pytest.mark.parametrize("name", sampled(NAMES, NAMES[-1:]))
def test_a_home_may_lie_anywhere(cluster: Faulty, name: str, origin: Path) -> None:
    cluster.home = cluster.home / name
    cluster.environment["MAKIMA_HOME"] = str(cluster.home)
    cluster.makima("up", "--detach", "--daemons", "1")
    plan = origin.parent / "plan.json"
    plan.write_text('[{"name": "one", "taskPlan": "echo one > one.txt"}]')
    create = ("directive", "create", "--title", "t", "--repo", str(origin), "--plan", str(plan), "--start")
    cluster.await_status(cluster.make(*create), "completed", 30)
    assert cluster.makima("db", "backup", str(origin.parent / "backup"))


def test_a_number_that_another_process_has_now_keeps_no_postgres_from_starting(cluster: Faulty) -> None:
    cluster.makima("up", "--detach", "--daemons", "0")
    data = cluster.home / "postgres"
    end_at_once(cluster)
    launch = embedded.server(cluster.home)
    sleeps = ("sleep", "100")
    other = subprocess.Popen(sleeps, user=launch.user, group=launch.group, extra_groups=launch.groups)
    for file in (data / "postmaster.pid", *(cluster.home / "run" / "postgres").glob(".*.lock")):
        first, _, rest = file.read_text().partition("\n")
        assert first.isdigit()
        file.write_text(f"{other.pid}\n{rest}")
    cluster.makima("up", "--detach", "--daemons", "0")
    assert other.poll() is None, "it is nothing of the cluster's, and is left alone"
    other.kill()
    other.wait()


@pytest.mark.long
def test_a_server_that_outlived_its_cluster_ends_before_another_begins(cluster: Faulty) -> None:
    embedded.initialise(cluster.home)
    old = embedded.server(cluster.home).popen(subprocess.DEVNULL)
    until(lambda: (cluster.home / "run" / "postgres" / ".s.PGSQL.5432").exists(), "the old server listens")
    cluster.makima("up", "--detach", "--daemons", "0")
    assert old.wait(30) == 0


@pytest.mark.long
def test_down_returns_when_everything_is_gone(cluster: Faulty) -> None:
    for _ in range(6):
        cluster.makima("up", "--detach", "--daemons", "1")
        processes = [cluster.state()["pid"], *cluster.processes().values()]
        cluster.makima("down")
        assert [pid for pid in processes if _lives(pid)] == []


def _lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_database_of_a_newer_makima_is_refused_in_words(cluster: Faulty) -> None:
    cluster.makima("up", "--detach", "--daemons", "0")
    with psycopg.connect(load(cluster.environment).postgres(), autocommit=True) as connection:
        connection.execute("INSERT INTO public.makima_migration VALUES (999, '999_from_the_future')")
    cluster.makima("down")
    (line,) = cluster.makima("up", "--detach", code=1).strip().splitlines()[-1:]
    assert "newer makima" in line and "999_from_the_future" in line


def test_no_process_can_be_looked_into_or_leaves_a_core(cluster: Faulty) -> None:
    cluster.makima("up", "--detach", "--daemons", "1")
    for name, pid in {"supervisor": cluster.state()["pid"], **cluster.processes()}.items():
        if name == "postgres":
            continue  # not a process of ours; its secrets are in its data
        assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0), name
        assert stat.S_IMODE(Path(f"/proc/{pid}/fd").stat().st_mode) == 0o500
        assert Path(f"/proc/{pid}/environ").stat().st_uid == 0, f"{name}: its files in /proc are root's alone"
        assert "Umask:\t0077" in Path(f"/proc/{pid}/status").read_text(), name


def test_a_daemon_is_not_told_how_to_reach_the_database(cluster: Faulty) -> None:
    with home() as folder:
        embedded.initialise(folder)
        with (folder / "log").open("wb") as log:
            server = embedded.server(folder).popen(log)
        url = embedded_url(folder, role=SUPERUSER)
        try:
            cluster.environment["MAKIMA_POSTGRES_URL"] = url
            until(lambda: (folder / "run" / "postgres" / ".s.PGSQL.5432").exists(), "Postgres listens")
            cluster.makima("up", "--detach", "--daemons", "1")
            if os.geteuid() == 0:  # to nobody else /proc tells
                told = {n: Path(f"/proc/{p}/environ").read_bytes() for n, p in cluster.processes().items()}
                assert b"POSTGRES_URL" in told["planner"] and b"POSTGRES" not in told["daemon-1"]
            assert "connected" in cluster.makima("daemon", "list")
            cluster.makima("down")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def test_nothing_is_imported_from_the_current_folder(cluster: Faulty, tmp_path: Path) -> None:
    for module in ("services", "shared", "msgspec", "psycopg"):
        (tmp_path / f"{module}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    entry = "import sys; sys.path.remove('') if '' in sys.path else None; from cli.main import main; main(sys.argv[1:])"
    argv = (sys.executable, "-P", "-c", entry, "up", "--detach", "--daemons", "1")
    subprocess.run(argv, env=cluster.environment, cwd=tmp_path, check=True, timeout=120)
    assert not (tmp_path / "ran").exists()


def test_a_database_of_an_earlier_version_asks_for_passwords_from_now_on_and_belongs_to_the_services(
    cluster: Faulty,
) -> None:
    """That version's superuser made everything, and whoever could connect was let in."""
    cluster.makima("up", "--detach", "--daemons", "0")
    cluster.makima("down")
    pg = cluster.home / "postgres"
    tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('makima', 'public')"
    take = f"FOR t IN {tables} LOOP EXECUTE 'ALTER TABLE ' || t || ' OWNER TO postgres'; END LOOP;"
    embedded._single(cluster.home, "makima", f"DO $$ DECLARE t text; BEGIN {take} END $$;")
    (pg / "pg_hba.conf").write_text("local all all trust\n")
    for file in cluster.home.glob("postgres.*.password"):
        file.unlink()
    cluster.makima("up", "--detach", "--daemons", "0")
    url = load(cluster.environment).postgres()
    with psycopg.connect(url) as connection:
        owners = connection.execute(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('makima', 'public')"
        ).fetchall()
        assert owners == [("makima",)]
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://postgres@/makima?host={cluster.home}/run/postgres")
