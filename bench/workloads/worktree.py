"""W8: the real daemon with the shell agent's `true`, on real repositories, beside the same git commands by hand."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from uuid import UUID

from bench.cluster import STEP_SECONDS, BenchFailed, Cluster, cluster
from bench.figures import Figure
from shared.domain.plans import PlannedStep

SIZES = {10: 20, 50_000: 5}
"""Files in the repository -> how often a step runs."""
FILES_A_FOLDER = 100


def run(scale: float) -> list[Figure]:
    """W8."""
    sizes = SIZES if scale == 1.0 else {10: 2}
    figures: list[Figure] = []
    with cluster(daemons=1) as running, tempfile.TemporaryDirectory(prefix="makima-bench-") as folder:
        for files, times in sizes.items():
            origin = repository(Path(folder) / str(files), files)
            _step(running, origin, 0)  # the first one clones
            steps = statistics.median(_step(running, origin, n + 1) for n in range(times))
            cache = Path(folder) / f"{files}-cache.git"
            _git(Path(folder), "clone", "--quiet", "--bare", str(origin), str(cache))
            by_hand = statistics.median(_by_hand(cache, Path(folder) / f"{files}-{n}", n) for n in range(times))
            figures += [
                Figure(name=f"a step on {files:,} files", value=steps, unit="ms"),
                Figure(name=f"its git commands by hand on {files:,} files", value=by_hand, unit="ms"),
                Figure(name=f"a step, relative, on {files:,} files", value=steps / by_hand, unit="x", goal=1.3),
            ]
    return figures


def repository(folder: Path, files: int) -> Path:
    """A bare repository with so many files on main."""
    work, origin = folder / "work", folder / "origin.git"
    work.mkdir(parents=True)
    for n in range(files):
        path = work / f"d{n // FILES_A_FOLDER}" / f"file{n}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"file {n}\n" * 20)
    _git(work, "init", "--quiet", "-b", "main")
    _git(work, "add", "--all")
    _git(work, "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "--quiet", "-m", "start")
    _git(folder, "clone", "--quiet", "--bare", str(work), str(origin))
    return origin


def _step(running: Cluster, origin: Path, number: int) -> float:
    """Milliseconds from the dispatch of a directive's one step to its recorded end."""
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
    return float(row[0])


def _await_delivery(running: Cluster, directive: UUID) -> None:
    """Wait until nothing of the directive is left to do, nor any worktree to be removed."""
    running.await_rows(
        "SELECT FROM makima.directive WHERE id = %s AND status NOT IN ('draft', 'active') "
        "AND NOT EXISTS (SELECT FROM makima.task WHERE status IN ('pending', 'starting', 'running'))",
        (directive,),
        1,
    )
    worktrees, deadline = running.home / "daemons" / "daemon-1" / "worktrees", time.monotonic() + STEP_SECONDS
    while any(worktrees.iterdir()):
        if time.monotonic() > deadline:
            raise BenchFailed(f"worktrees are left in {worktrees}")
        time.sleep(0.02)


def _by_hand(cache: Path, worktree: Path, number: int) -> float:
    """Milliseconds that the commands of a step take: fetch, worktree, agent, status, push."""
    began = time.monotonic()
    _git(cache, "fetch", "--quiet", "--prune", "--no-tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
    _git(cache, "worktree", "add", "--quiet", "-B", f"bench-{number}", str(worktree), "origin/main")
    subprocess.run(["bash", "-euo", "pipefail", "-c", "true"], cwd=worktree, check=True)
    _git(worktree, "status", "--porcelain=v2", "--branch")
    _git(worktree, "push", "--quiet", "origin", f"HEAD:refs/heads/bench-{number}")
    took = (time.monotonic() - began) * 1000
    _git(cache, "worktree", "remove", "--force", str(worktree))
    return took


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
