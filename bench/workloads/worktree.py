"""W8: the real daemon with the shell agent's `true`, on real repositories, beside the same git commands by hand."""

from __future__ import annotations

import resource
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from uuid import UUID

import msgspec

from bench.cluster import STEP_SECONDS, BenchFailed, Cluster, cluster
from bench.figures import Figure
from shared.domain.plans import PlannedStep

SIZES = {10: 20, 50_000: 3}
"""Files in the repository -> how often a step runs."""
FILES_A_FOLDER = 100
DAEMON = "daemon-1"


def run(scale: float) -> list[Figure]:
    """W8."""
    sizes = SIZES if scale == 1.0 else {10: 2}
    figures: list[Figure] = []
    with cluster(daemons=1) as running, tempfile.TemporaryDirectory(prefix="makima-bench-") as folder:
        for files, times in sizes.items():
            place = Path(folder) / str(files)
            origin = repository(place, files)
            first = _step(running, origin, 0)
            steps = [_step(running, origin, n + 1) for n in range(times)]
            cache = place / "cache.git"
            _git(place, "clone", "--quiet", "--bare", str(origin), str(cache))
            by_hand = [_by_hand(cache, place / f"worktree-{n}", n) for n in range(times)]
            figures += _figures(f"on {files:,} files", first, steps, by_hand)
    return figures


class Took(msgspec.Struct, frozen=True):
    """What something took, in milliseconds: on the clock, and of processors."""

    wall: float
    cpu: float


def _figures(where: str, first: Took, steps: list[Took], by_hand: list[Took]) -> list[Figure]:
    step, hand = (Took(median(t.wall for t in took), median(t.cpu for t in took)) for took in (steps, by_hand))
    return [
        Figure(name=f"the first step, which clones, {where}", value=first.wall, unit="ms"),
        Figure(name=f"a step {where}", value=step.wall, unit="ms"),
        Figure(name=f"its git commands by hand {where}", value=hand.wall, unit="ms"),
        Figure(name=f"a step, relative, {where}", value=step.wall / hand.wall, unit="x", goal=1.3),
        Figure(
            name=f"CPU of the daemon and its git, its delivery included, relative, {where}",
            value=step.cpu / hand.cpu,
            unit="x",
        ),
    ]


def repository(folder: Path, files: int) -> Path:
    """A bare repository with so many files on main."""
    origin = folder / "origin.git"
    folder.mkdir(parents=True)
    _git(folder, "init", "--quiet", "--bare", "-b", "main", str(origin))
    stream = ["commit refs/heads/main\ncommitter bench <bench@localhost> 0 +0000\ndata 5\nstart\n"]
    for n in range(files):
        text = f"file {n}\n" * 20
        stream.append(f"M 100644 inline d{n // FILES_A_FOLDER}/file{n}.txt\ndata {len(text)}\n{text}\n")
    subprocess.run(["git", "fast-import", "--quiet"], cwd=origin, input="".join(stream).encode(), check=True)
    return origin


def _step(running: Cluster, origin: Path, number: int) -> Took:
    """From the dispatch of a directive's one step to its recorded end; the CPU until that is delivered and put away."""
    before = _daemon_seconds(running)
    step = PlannedStep(name="true", task_plan="true")
    directive = running.api().create(f"step {number}", [step], repository=str(origin), start=True)
    _await_delivery(running, directive)
    with running.sql() as connection:
        row = connection.execute(
            "SELECT extract(epoch FROM ended_at - dispatched_at)::float * 1000 FROM makima.task "
            "WHERE directive_id = %s AND kind = 'step' AND status = 'completed'",
            (directive,),
        ).fetchone()
    if row is None:
        raise BenchFailed(f"the step of directive {directive} did not complete")
    return Took(float(row[0]), (_daemon_seconds(running) - before) * 1000)


def _daemon_seconds(running: Cluster) -> float:
    """Processor time of the daemon and of the commands that it has run."""
    used = running.processes()[DAEMON].cpu_times()
    return float(used.user + used.system + used.children_user + used.children_system)


def _await_delivery(running: Cluster, directive: UUID) -> None:
    """Wait until nothing of the directive is left to do, nor any worktree to be removed."""
    running.await_rows(
        "SELECT FROM makima.directive WHERE id = %s AND status NOT IN ('draft', 'active') "
        "AND NOT EXISTS (SELECT FROM makima.task WHERE status IN ('pending', 'starting', 'running'))",
        (directive,),
        1,
    )
    worktrees, deadline = running.home / "daemons" / DAEMON / "worktrees", time.monotonic() + STEP_SECONDS
    while any(worktrees.iterdir()):
        if time.monotonic() > deadline:
            raise BenchFailed(f"worktrees are left in {worktrees}")
        time.sleep(0.02)


def _by_hand(cache: Path, worktree: Path, number: int) -> Took:
    """The commands of a step: fetch, worktree, agent, status, push."""
    began, before = time.monotonic(), _children_seconds()
    _git(cache, "fetch", "--quiet", "--prune", "--no-tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
    _git(cache, "worktree", "add", "--quiet", "-B", f"bench-{number}", str(worktree), "origin/main")
    subprocess.run(["bash", "-euo", "pipefail", "-c", "true"], cwd=worktree, check=True)
    _git(worktree, "status", "--porcelain=v2", "--branch")
    _git(worktree, "push", "--quiet", "origin", f"HEAD:refs/heads/bench-{number}")
    return Took((time.monotonic() - began) * 1000, (_children_seconds() - before) * 1000)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
