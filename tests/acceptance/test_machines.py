"""Daemons on other machines: they join with one line, and a directive runs on them over one connection."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared import failpoints
from shared.bus.link import invitation
from tests.conftest import Cluster, free_port, git
from tests.network import Machine, network, served, slow
from tests.postgres import home
from tests.sampled import sampled
from tests.waiting import until

pytestmark = pytest.mark.skipif("os.geteuid() != 0", reason="network namespaces need root")


MOMENTS = ("before_send", "after_send")


class Site(Cluster):
    """A cluster on a machine of its own."""

    def __init__(self, folder: Path, machine: Machine, **settings: str) -> None:
        self.link = f"{machine.address}:{free_port()}"
        self.lease_seconds = 60
        super().__init__(folder, link=self.link, lease_seconds=str(self.lease_seconds), **settings)
        self.machine = machine

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = self.machine.argv(sys.executable, "-m", "cli", *arguments)
        return subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=120, check=False)

    def invite(self, name: str) -> str:
        """An invitation, as it is handed on."""
        line: str = json.loads(self.makima("daemon", "invite", "--name", name, "-o", "json"))["line"]
        return line

    def daemons(self) -> dict[str, bool]:
        """Which daemons there are, and whether each is connected."""
        return {d["name"]: d["connected"] for d in json.loads(self.makima("daemon", "list", "-o", "json"))}

    def worker(self, directive: str) -> str | None:
        """The daemon that has the directive's newest task."""
        tasks = json.loads(self.makima("task", "list", "--directive", directive, "-o", "json"))
        return max(tasks, key=lambda task: task["id"])["daemon"] if tasks else None

    def deliver(self, repository: str, steps: list[dict[str, Any]], seconds: int = 90) -> dict[str, dict[str, Any]]:
        """The steps by name, once a directive of this plan is delivered."""
        plan = self.home / "plan.json"
        plan.write_text(json.dumps(steps))
        made = self.make(
            "directive", "create", "--title", "A job", "--repo", repository, "--plan", str(plan), "--start"
        )
        self.makima("directive", "watch", made, "--timeout", str(seconds))
        return {s["name"]: s for s in self.show(made)["steps"]}


class Far:
    """Another machine with a home of its own, from which a daemon joins."""

    def __init__(self, site: Site, machine: Machine, folder: Path) -> None:
        self.machine = machine
        kept = {k: v for k, v in site.environment.items() if k not in ("MAKIMA_HOME", "MAKIMA_PORT", "MAKIMA_LINK")}
        self.environment = {**kept, "MAKIMA_HOME": str(folder)}
        self.log = folder / "far.log"
        self.lacks: Path | None = None
        """A folder that is empty there."""

    def argv(self, *command: str) -> list[str]:
        """How a command is run there."""
        if self.lacks is None:
            return self.machine.argv(*command)
        hidden = 'mount -t tmpfs none "$0" && exec "$@"'
        return self.machine.argv("unshare", "--mount", "sh", "-c", hidden, str(self.lacks), *command)

    @contextmanager
    def dying_at(self, point: str) -> Iterator[None]:
        """What runs there meanwhile is killed where it comes by this failpoint."""
        folder = self.log.parent / "failpoints"
        folder.mkdir(exist_ok=True)
        failpoints.arm(folder, point, "kill")
        self.environment["MAKIMA_FAILPOINTS"] = str(folder)
        yield
        del self.environment["MAKIMA_FAILPOINTS"]
        assert failpoints.fired(folder, point)

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """`makima daemon …` while it runs there; ended as a person ends it."""
        argv = self.argv(sys.executable, "-m", "cli", "daemon", *arguments)
        with self.log.open("ab") as log:
            process = subprocess.Popen(argv, env=self.environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[Machine, ...]]:
    with network("cluster", "laptop", "desktop", "router") as made:
        yield tuple(made)


@pytest.fixture
def site(machines: tuple[Machine, ...]) -> Iterator[Site]:
    """A cluster without a daemon of its own; nothing here may wait for a sweep."""
    with home() as folder:
        site = Site(folder, machines[0], sweep_seconds="3600", lost_seconds="4")
        site.makima("up", "--detach", "--daemons", "0")
        yield site
        site.makima("down")


@pytest.fixture
def laptop(site: Site, machines: tuple[Machine, ...]) -> Iterator[Far]:
    with home() as folder:
        yield Far(site, machines[1], folder)


@pytest.fixture
def desktop(site: Site, machines: tuple[Machine, ...]) -> Iterator[Far]:
    with home() as folder:
        yield Far(site, machines[2], folder)


@pytest.fixture
def router(machines: tuple[Machine, ...]) -> Machine:
    return machines[3]


@pytest.fixture
def repository(site: Site, origin: Path) -> Iterator[str]:
    """The address of a repository that the cluster's machine serves."""
    with served(site.machine, origin.parent) as address:
        yield f"{address}/{origin.name}"


def test_a_directive_runs_on_two_other_machines(site: Site, laptop: Far, desktop: Far, repository: str) -> None:
    with laptop.running("join", site.invite("laptop")), desktop.running("join", site.invite("desktop")):
        until(lambda: all(site.daemons().get(name) for name in ("laptop", "desktop")), "both are connected")
        script = "sleep 1; hostname -I > {}.txt"
        steps = [{"name": name, "taskPlan": script.format(name), "orderIndex": 0} for name in ("a", "b", "c", "d")]
        steps.append(
            {"name": "all", "taskPlan": "cat a.txt b.txt c.txt d.txt > all.txt", "dependsOn": ["a", "b", "c", "d"]}
        )
        done = site.deliver(repository, steps)
        assert {step["status"] for step in done.values()} == {"completed"}


def test_an_agent_on_another_machine_speaks_to_the_cluster(site: Site, laptop: Far, repository: str) -> None:
    with laptop.running("join", site.invite("laptop")):
        until(lambda: site.daemons().get("laptop"), "it is connected")
        script = f"{sys.executable} -m cli directive show $MAKIMA_DIRECTIVE_ID > shown.txt && grep -q Ask shown.txt"
        assert site.deliver(repository, [{"name": "Ask", "taskPlan": script}])["Ask"]["status"] == "completed"


def test_a_line_lets_one_daemon_join(site: Site, laptop: Far, desktop: Far) -> None:
    line = site.invite("laptop")
    with laptop.running("join", line):
        until(lambda: site.daemons().get("laptop"), "it is connected")
        with desktop.running("join", line) as second:
            assert second.wait(timeout=60) != 0
        assert "invitation" in desktop.log.read_text()
        assert list(site.daemons()) == ["laptop"]


@pytest.mark.parametrize("moment", sampled(MOMENTS, {"after_send"}))
def test_a_daemon_that_dies_as_it_joins_joins_with_the_same_line(site: Site, laptop: Far, moment: str) -> None:
    line = site.invite("laptop")
    with laptop.dying_at(f"daemon.join.{moment}"), laptop.running("join", line) as process:
        process.wait(timeout=60)
    with laptop.running("join", line):
        until(lambda: site.daemons().get("laptop"), "it is connected")


@pytest.mark.parametrize("moment", sampled(MOMENTS, {"after_send"}))
def test_a_daemon_that_dies_as_its_agent_asks_does_the_work_once_it_is_back(
    site: Site, laptop: Far, repository: str, moment: str
) -> None:
    with laptop.running("join", site.invite("laptop")):
        until(lambda: site.daemons().get("laptop"), "it is connected")
    plan = site.home / "plan.json"
    plan.write_text(json.dumps([{"name": "Ask", "taskPlan": f"{sys.executable} -m cli directive show >shown.txt"}]))
    made = site.make("directive", "create", "--title", "Ask", "--repo", repository, "--plan", str(plan), "--start")
    with laptop.dying_at(f"daemon.link.{moment}"), laptop.running("run") as process:
        process.wait(timeout=60)
    with laptop.running("run"):
        site.makima("directive", "watch", made, "--timeout", "90")


@pytest.mark.long
def test_a_daemon_comes_back_by_itself_when_either_machine_was_away(site: Site, laptop: Far, repository: str) -> None:
    with laptop.running("join", site.invite("laptop")):
        until(lambda: site.daemons().get("laptop"), "it is connected")
        site.makima("down")
        site.makima("up", "--detach", "--daemons", "0")
        until(lambda: site.daemons().get("laptop"), "it has come back")
    until(lambda: not site.daemons().get("laptop"), "it is gone")
    with laptop.running("run"):
        until(lambda: site.daemons().get("laptop"), "it has come again")
        assert site.deliver(repository, [{"name": "Work", "taskPlan": "echo x > x"}])["Work"]["status"] == "completed"


def test_work_goes_elsewhere_at_once_when_a_daemon_may_not_stay(
    site: Site, laptop: Far, desktop: Far, repository: str
) -> None:
    with laptop.running("join", site.invite("laptop")):
        until(lambda: site.daemons().get("laptop"), "it is connected")
        plan = site.home / "plan.json"
        plan.write_text(json.dumps([{"name": "Long", "taskPlan": "test -e go || sleep 600; echo x > x"}]))
        made = site.make("directive", "create", "--title", "Long", "--repo", repository, "--plan", str(plan), "--start")
        until(lambda: site.show(made)["steps"][0]["status"] == "running", "it runs there")
        began = time.monotonic()
        site.makima("daemon", "revoke", "laptop")
        until(lambda: not site.daemons().get("laptop"), "it is gone", 10)
        with desktop.running("join", site.invite("desktop")):
            until(lambda: site.worker(made) == "desktop", "it runs on the other", 20)
            assert time.monotonic() - began < site.lease_seconds
            site.makima("directive", "archive", made)


@pytest.mark.long
def test_a_network_that_is_slow_and_loses_some_of_it_only_takes_longer(
    site: Site, laptop: Far, router: Machine, repository: str
) -> None:
    with slow(router, site.link, 0.1) as address:
        invited = invitation(site.invite("laptop"))
        with laptop.running("join", msgspec.structs.replace(invited, address=address).line()):
            until(lambda: site.daemons().get("laptop"), "it is connected")
            laptop.machine.lose(0.05)
            router.lose(0.05)
            try:
                steps = [{"name": f"s{n}", "taskPlan": f"seq 500; echo {n} > {n}"} for n in range(4)]
                done = site.deliver(repository, steps, 180)
            finally:
                laptop.machine.lose(0)
                router.lose(0)
            assert {step["status"] for step in done.values()} == {"completed"}


@pytest.mark.parametrize("seconds", sampled([3, 60], [3]))
def test_a_machine_cut_off_for_a_while_loses_nothing(site: Site, laptop: Far, repository: str, seconds: int) -> None:
    with laptop.running("join", site.invite("laptop")):
        until(lambda: site.daemons().get("laptop"), "it is connected")
        plan = site.home / "plan.json"
        plan.write_text(json.dumps([{"name": "Work", "taskPlan": "sleep 3; echo x > x"}]))
        made = site.make("directive", "create", "--title", "Cut", "--repo", repository, "--plan", str(plan), "--start")
        until(lambda: site.show(made)["steps"][0]["status"] == "running", "it runs")
        laptop.machine.lose(1)
        until(lambda: not site.daemons().get("laptop"), "it is missed", 30)
        time.sleep(seconds)
        laptop.machine.lose(0)
        until(lambda: site.daemons().get("laptop"), "it is back", 60)
        site.makima("directive", "watch", made, "--timeout", "90")


def test_a_cluster_that_is_killed_whole_goes_on_with_what_runs_elsewhere(
    site: Site, laptop: Far, repository: str
) -> None:
    with laptop.running("join", site.invite("laptop")):
        until(lambda: site.daemons().get("laptop"), "it is connected")
        plan = site.home / "plan.json"
        plan.write_text(json.dumps([{"name": "Work", "taskPlan": "sleep 4; echo x > x"}]))
        made = site.make("directive", "create", "--title", "Kill", "--repo", repository, "--plan", str(plan), "--start")
        until(lambda: site.show(made)["steps"][0]["status"] == "running", "it runs")
        for pid in site.tree():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(5)
        site.makima("up", "--detach", "--daemons", "0")
        site.makima("directive", "watch", made, "--timeout", "90")
        tasks = json.loads(site.makima("task", "list", "--directive", made, "-o", "json"))
        assert [task["attempt"] for task in tasks if task["kind"] == "step"] == [1]


def test_a_folder_of_the_clusters_machine_is_worked_on_and_delivered_to_from_two_others(
    site: Site, laptop: Far, desktop: Far, origin: Path
) -> None:
    laptop.lacks = desktop.lacks = origin.parent
    with laptop.running("join", site.invite("laptop")), desktop.running("join", site.invite("desktop")):
        until(lambda: all(site.daemons().get(name) for name in ("laptop", "desktop")), "both are connected")
        steps = [{"name": name, "taskPlan": f"sleep 1; echo {name} > {name}", "orderIndex": 0} for name in "abcd"]
        steps.append({"name": "all", "taskPlan": "cat a b c d > all", "dependsOn": list("abcd")})
        done = site.deliver(str(origin), steps)
        assert {step["status"] for step in done.values()} == {"completed"}
    (delivered,) = git(origin, "branch", "--list", "makima/directive-*", "--format=%(refname)").split()
    assert git(origin, "show", f"{delivered}:all").split() == list("abcd")


def test_a_folder_is_worked_on_over_a_network_that_is_slow_and_loses_some_of_it(
    site: Site, laptop: Far, router: Machine, origin: Path
) -> None:
    (origin.parent / "work" / "large").write_bytes(os.urandom(4 << 20))
    git(origin.parent / "work", "add", ".")
    git(origin.parent / "work", "commit", "--quiet", "-m", "large")
    git(origin.parent / "work", "push", "--quiet", "origin", "HEAD:main")
    laptop.lacks = origin.parent
    with slow(router, site.link, 0.1) as address:
        invited = invitation(site.invite("laptop"))
        with laptop.running("join", msgspec.structs.replace(invited, address=address).line()):
            until(lambda: site.daemons().get("laptop"), "it is connected")
            laptop.machine.lose(0.05)
            router.lose(0.05)
            try:
                script = "head -c 3000000 /dev/urandom > {0}"
                steps = [{"name": name, "taskPlan": script.format(name)} for name in ("one", "two")]
                done = site.deliver(str(origin), steps, 240)
            finally:
                laptop.machine.lose(0)
                router.lose(0)
            assert {step["status"] for step in done.values()} == {"completed"}
    (delivered,) = git(origin, "branch", "--list", "makima/directive-*", "--format=%(refname)").split()
    assert git(origin, "cat-file", "-s", f"{delivered}:one") == "3000000"


@pytest.mark.parametrize("point", ["daemon.git.push.before", "daemon.git.push.after"])
def test_a_daemon_that_dies_as_it_pushes_over_the_link_leaves_nothing_half_done(
    site: Site, laptop: Far, origin: Path, point: str
) -> None:
    laptop.lacks = origin.parent
    with laptop.running("join", site.invite("laptop")):
        until(lambda: site.daemons().get("laptop"), "it is connected")
    plan = site.home / "plan.json"
    plan.write_text(json.dumps([{"name": "Work", "taskPlan": "echo x > x"}]))
    made = site.make("directive", "create", "--title", "Dies", "--repo", str(origin), "--plan", str(plan), "--start")
    with laptop.dying_at(point), laptop.running("run") as process:
        process.wait(timeout=60)
    with laptop.running("run"):
        site.makima("directive", "watch", made, "--timeout", "90")
    (delivered,) = git(origin, "branch", "--list", "makima/directive-*", "--format=%(refname)").split()
    assert git(origin, "show", f"{delivered}:x") == "x"
    assert not list((origin / "objects").glob("*incoming*"))
