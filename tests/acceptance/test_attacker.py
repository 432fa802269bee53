"""A step that is an attacker: under every kind of sandbox it reaches nothing of the cluster, nor of its neighbours.

What it tries is whatever the running cluster is found to have, looked at from outside: a socket, a file or a process
that comes with a new part of it is tried without a word here.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from shared.config import load
from shared.domain.ids import new_id
from shared.messages.channels import ADMITTED, ROLES
from shared.messages.commands import CancelTask, SpawnTask
from shared.messages.events import DaemonLost
from shared.messages.frames import COMMANDS, REPORT_REPLIES, REPORTS, encode_event, header
from shared.messages.reports import Goodbye, Hello, NotYours, TaskFailed, TaskSucceeded
from tests import attack, forger
from tests.attack import Targets
from tests.conftest import Cluster, free_port
from tests.engine import IMAGE, Engine, engine
from tests.postgres import home
from tests.sampled import sampled
from tests.waiting import until


@dataclass
class Scene:
    """A cluster of a person's, with one step that works and one that attacks, in a sandbox of one kind."""

    kind: str
    cluster: Cluster
    person: Path
    marks: Path

    def begin(self, origin: Path, name: str, script: str) -> None:
        """Start a step that runs a script."""
        file = self.marks / f"{name}.json"
        file.write_text(json.dumps([{"name": name, "taskPlan": script}]))
        create = ("directive", "create", "--title", name, "--repo", str(origin), "--plan", str(file))
        self.cluster.makima(*create, "--agent", "shell", "--start", "--quiet")

    def await_file(self, name: str) -> str:
        """Wait until a step has left a file; what is in it."""
        file = self.marks / name
        until(lambda: file.exists() and file.read_text(), lambda: f"{name}: {self.cluster.run('status').stdout}")
        return file.read_text()

    def targets(self, own: Path) -> Targets:
        """What the cluster and the person have, but for what the attempt at `own` needs."""
        settings = load(self.cluster.environment)
        needed = self._needed(own)
        found: Targets = {**{kind: [] for kind in attack.WAYS}, "own": list(map(str, [*needed, *self.lent()]))}
        run, homes = settings.run_folder(), [settings.home, self.person]
        for folder in homes if run.is_relative_to(settings.home) else [*homes, run]:
            found["folders"].append(str(folder))
            for path in folder.rglob("*"):
                if not path.is_symlink() and not any(path.is_relative_to(place) for place in needed):
                    mode = path.stat().st_mode
                    kind = "sockets" if stat.S_ISSOCK(mode) else "folders" if stat.S_ISDIR(mode) else "files"
                    found[kind].append(str(path))
        processes = self.cluster.tree() - self._at_work(own)
        found["processes"] += sorted(processes)
        found["abstract"] += [
            c.laddr
            for c in psutil.net_connections("unix")
            if str(c.laddr).startswith("@") and (c.pid is None or c.pid in processes)  # None: only root is told whose
        ]
        groups = os.walk("/sys/fs/cgroup")  # passes over those that go away meanwhile, of other clusters
        found["groups"] += [f"{folder}/cgroup.procs" for folder, _, files in groups if "cgroup.procs" in files]
        return found

    def _needed(self, own: Path) -> list[Path]:
        """The attempt's workspace, runs, and sockets of its network, and its task's sessions."""
        runs = own.parents[1] / "runs"
        sessions = own.parents[1] / "sessions" / own.name.partition("-")[0]
        return [own, runs / own.name, runs / f"{own.name}-net", sessions]

    def lent(self) -> list[Path]:
        """What a step may read, and connect to, but not change: what its git borrows, and where the gateway listens."""
        gateway = load(self.cluster.environment).gateway_socket()
        return [gateway.parent, *self.cluster.home.glob("daemons/*/repositories/*.git/objects")]

    def _at_work(self, own: Path) -> set[int]:
        """The processes of the attempt at a workspace: those in it, and what leads from its daemon to them."""
        services = set(self.cluster.processes().values())
        found: set[int] = set()
        for number in self.cluster.tree() - services:
            with suppress(OSError, psutil.Error):
                if Path(f"/proc/{number}/cwd").readlink().is_relative_to(own):
                    lead = takewhile(lambda process: process.pid not in services, psutil.Process(number).parents())
                    found |= {number, *(process.pid for process in lead)}
        return found


@pytest.fixture(scope="module")
def running() -> Iterator[Engine]:
    with engine() as found:
        yield found


@pytest.fixture(params=["bubblewrap", "landlock", "docker"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    more: dict[str, str] = {}
    if request.param == "docker":
        more = {"docker_host": request.getfixturevalue("running").address, "docker_image": IMAGE}
    person, marks = tmp_path / "person", tmp_path / "marks"
    for folder in (person / ".ssh", marks):
        folder.mkdir(parents=True)
    (person / ".ssh" / "id_ed25519").write_text("a private key")
    (person / ".gitconfig").write_text("[user]\n\tname = A Person\n\temail = person@example.org\n")
    with home() as folder:
        cluster = Cluster(
            folder,
            sandbox=request.param,
            sandbox_writable=str(marks),
            sweep_seconds="3600",
            link=f"127.0.0.1:{free_port()}",
            **more,
        )
        cluster.environment |= {"HOME": str(person), "GITEA_TOKEN": "a secret of the daemon's"}
        cluster.makima("up", "--detach", "--daemons", "1")
        yield Scene(request.param, cluster, person, marks)
        cluster.makima("down")


def left_in(reached: dict[str, list[str]]) -> list[str]:
    """Where an attacker that says so has really left its mark; it is removed."""
    found = [mark for folder in reached["folders: makes"] if (mark := Path(folder, attack.MARK)).exists()]
    for mark in found:
        mark.unlink(missing_ok=True)
    return list(map(str, found))


def attacked(scene: Scene, origin: Path) -> dict[str, list[str]]:
    """What a step that attacks has reached while another worked, by the way it was tried."""
    marks, program = scene.marks, scene.marks / "attack.py"
    program.write_text(Path(attack.__file__).read_text())
    wait = "while ! [ -e {0} ]; do sleep 0.1; done"
    scene.begin(origin, "victim", f"echo secret >work.txt; pwd >{marks}/victim; {wait.format(marks / 'over')}")
    attacks = f"pwd >{marks}/own; env >{marks}/env; {wait.format(marks / 'targets')}; python3 {program} {marks}/targets"
    scene.begin(origin, "attacker", f"{attacks} {marks}/reached")
    victim, own = Path(scene.await_file("victim").strip()), Path(scene.await_file("own").strip())
    targets = scene.targets(own)
    assert str(victim / "work.txt") in targets["files"] and len(targets["processes"]) > 8
    (marks / "draft").write_text(json.dumps(targets))
    subprocess.run((sys.executable, program, marks / "draft", marks / "outside"), check=True)
    outside = json.loads((marks / "outside").read_text())
    assert all(outside[way] for way in ("files: reads", "sockets: connects", "processes: looks into"))
    assert left_in(outside), "the attack is one: it succeeds outside of any sandbox"
    (marks / "draft").rename(marks / "targets")
    reached: dict[str, list[str]] = json.loads(scene.await_file("reached"))
    (marks / "over").touch()
    reached["folders: makes"] = left_in(reached)
    for way in ("files: reads", "folders: lists", "sockets: connects"):
        reached[way] = [path for path in reached[way] if not any(Path(path).is_relative_to(p) for p in scene.lent())]
    return reached


def test_a_step_reaches_nothing_of_the_cluster_of_other_steps_or_of_the_person(scene: Scene, origin: Path) -> None:
    reached = attacked(scene, origin)
    if scene.kind == "landlock":  # it lets through to sockets by their path; what listens there is another test's
        del reached["sockets: connects"]
        assert not [path for path in reached.pop("sockets: is served") if "PGSQL" in path]
    assert {way: targets for way, targets in reached.items() if targets} == {}
    assert "a secret of the daemon's" not in (scene.marks / "env").read_text()


@pytest.mark.parametrize("scene", ["landlock"], indirect=True)
def test_what_listens_serves_no_step_that_can_connect_to_it(scene: Scene, origin: Path) -> None:
    assert attacked(scene, origin)["sockets: is served"] == []


@pytest.mark.parametrize("scene", sampled(("bubblewrap", "landlock"), {"bubblewrap"}), indirect=True)
def test_a_step_that_forges_on_the_bus_in_any_role_is_let_in_nowhere_and_counted(scene: Scene, origin: Path) -> None:
    marks, program = scene.marks, scene.marks / "forger.py"
    program.write_text(Path(forger.__file__).read_text())
    wait = "while ! [ -e {0} ]; do sleep 0.1; done"
    scene.begin(origin, "victim", f"echo secret >work.txt; pwd >{marks}/victim; {wait.format(marks / 'over')}")
    scene.begin(
        origin,
        "forger",
        f"pwd >{marks}/own; {wait.format(marks / 'targets')}; python3 {program} {marks}/targets {marks}/reached; "
        f"{wait.format(marks / 'over')}",
    )
    victim, own = Path(scene.await_file("victim").strip()), Path(scene.await_file("own").strip())
    targets = bus_targets(scene, own)
    (marks / "draft").write_text(json.dumps({**targets, "files": keys_of(scene)}))
    subprocess.run((sys.executable, program, marks / "draft", marks / "outside"), check=True)
    outside = json.loads((marks / "outside").read_text())["let in"]
    assert {line.partition(" ")[0] for line in outside} == set(ROLES), "with the keys it is let in"
    before, refused = standing(scene), refusals(scene)
    (marks / "draft").write_text(json.dumps({**targets, "forged": forged(victim)}))
    (marks / "draft").rename(marks / "targets")
    reached = json.loads(scene.await_file("reached"))
    assert reached["let in"] == []
    assert standing(scene) == before
    if scene.kind == "landlock":  # the other shows no socket of the bus, so nothing arrives that could be counted
        assert reached["stood"] > 1000
        until(lambda: refusals(scene) >= refused + 1000, lambda: f"{refusals(scene)} counted, {refused} before")
    (marks / "over").touch()


def bus_targets(scene: Scene, own: Path) -> dict[str, list[str]]:
    """Every socket of the cluster's, files or ports, and where it might find a key."""
    found = scene.targets(own)
    sockets = [str(path) for path in found["sockets"]]
    for process in scene.cluster.tree():
        with suppress(psutil.Error):
            listening = [c for c in psutil.Process(process).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
            sockets += [f"{c.laddr.ip}:{c.laddr.port}" for c in listening]
    assert {Path(path).stem for path in sockets} >= {name for name, roles in ADMITTED.items() if roles}
    link = scene.cluster.environment["MAKIMA_LINK"]
    sockets += [] if link in sockets else [link]  # only root is told whose it is
    return {"sockets": sockets, "files": [str(path) for path in found["files"]]}


def keys_of(scene: Scene) -> list[str]:
    """The files with the roles' keys."""
    settings = load(scene.cluster.environment)
    return [str(path) for folder in (settings.home, settings.run_folder()) for path in (folder / "keys").glob("*")]


def forged(victim: Path) -> dict[str, list[str]]:
    """What each role might say to the harm of others, as it crosses the wire, by the socket that it goes to."""
    task, attempt = UUID(victim.name.partition("-")[0]), 1
    spawn = SpawnTask(
        task=new_id(), attempt=1, owner="default", directive=new_id(), kind="step", name="rogue", task_plan="id"
    )
    cancel = CancelTask(task=task, attempt=attempt, owner="default", reason="forged")
    reports = [
        Hello(daemon="rogue", owner="default", capacity=99, agents=("shell",)),
        TaskSucceeded(seq=1, task=task, attempt=attempt, branch="rogue", outcome="forged"),
        TaskFailed(seq=2, task=task, attempt=attempt, reason="forged", permanent=True),
        Goodbye(daemon="daemon-1", owner="default"),
    ]
    said = {
        "commands": [[b"commands", header("executor"), COMMANDS.encode([spawn, cancel])]],
        "daemons": [[b"reports", header("daemon/daemon-1"), REPORTS.encode(reports)]],
        "reports": [
            [b"ready", header("monitor"), b"", b""],
            [b"acks", header("monitor"), b"daemon-1", REPORT_REPLIES.encode([NotYours(task=task, attempt=attempt)])],
        ],
        "events-in": [encode_event(DaemonLost(daemon="daemon-1", owner="default"), "broker")],
    }
    return {where: [forger.framed(parts).hex() for parts in messages] for where, messages in said.items()}


def standing(scene: Scene) -> dict[str, object]:
    """What of a cluster a forger would have changed."""
    asked = {"daemons": ("daemon", "list"), "tasks": ("task", "list"), "directives": ("directive", "list")}
    shown = {what: json.loads(scene.cluster.makima(*words, "-o", "json")) for what, words in asked.items()}
    for daemon in shown["daemons"]:
        del daemon["last_seen"]
    return shown


def refusals(scene: Scene) -> int:
    """How many connections the broker has counted, as far as it says: each of the first ten, then every thousandth."""
    lines = (scene.cluster.home / "logs" / "broker.log").read_text().splitlines()
    said = [json.loads(line) for line in lines if "connection refused" in line]
    return max((line["count"] for line in said), default=0)
