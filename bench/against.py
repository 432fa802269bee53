"""`just bench --against COMMIT`: this tree beside another commit's, in turns, and the ratios of their figures.

Each tree runs its own benchmarks on a cluster of its own, the other one in a worktree that goes again; a tree without
benchmarks is given ours. A machine's mood changes within minutes: what counts is the ratio within each round.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from bench.cluster import BenchFailed
from bench.figures import ROOT, Figure, Result
from bench.report import number

WORKLOADS = ("W1", "W2", "W3", "W4")
LOCKS = ("requirements.txt", "requirements-dev.txt")


@dataclass(frozen=True)
class Tree:
    """A working tree, and the Python that has what it needs."""

    path: Path
    python: str

    def run(self, workload: str, scale: float) -> dict[str, Figure]:
        """A workload's figures by name, run by the tree's own benchmarks. Raises BenchFailed."""
        with tempfile.TemporaryDirectory(prefix="makima-bench-") as folder:
            argv = [self.python, "-m", "bench", workload]
            results = self.path / "bench" / "results"
            if self._takes_options():
                argv += ["--scale", str(scale), "--results", folder]
                results = Path(folder)
            elif scale != 1.0:
                raise BenchFailed("the other tree's benchmarks know the full size alone: leave --scale out")
            done = subprocess.run(argv, cwd=self.path, capture_output=True, text=True, check=False)
            if done.returncode:
                said = (done.stderr or done.stdout).strip().splitlines()
                raise BenchFailed(f"{self.path}: {said[-1] if said else f'exit code {done.returncode}'}")
            result = msgspec.json.decode((results / f"{workload}.json").read_bytes(), type=Result)
        return {figure.name: figure for figure in result.figures}

    def _takes_options(self) -> bool:
        return '"--results"' in (self.path / "bench" / "__main__.py").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Pair:
    """A figure's values in both trees, a value a round."""

    workload: str
    name: str
    unit: str
    theirs: Sequence[float]
    ours: Sequence[float]

    def ratios(self) -> list[float]:
        """This tree's value relative to the other's, in each round that has both."""
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True) if theirs]


def run(commit: str, names: Sequence[str], rounds: int, scale: float) -> int:
    """Measure both in turns and print the ratios; 1 when one could not be run."""
    try:
        with _other(commit) as theirs:
            ours = Tree(ROOT, sys.executable)
            pairs = [pair for name in names or WORKLOADS for pair in compare(name, theirs, ours, rounds, scale)]
    except BenchFailed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    show(commit, rounds, pairs)
    return 0


def compare(workload: str, theirs: Tree, ours: Tree, rounds: int, scale: float) -> list[Pair]:
    """One workload's figures that both trees know, in alternation: whoever went first goes second in the next round."""
    seen: list[dict[Path, dict[str, Figure]]] = []
    for at in range(rounds):
        turns = (theirs, ours) if at % 2 == 0 else (ours, theirs)
        seen.append({tree.path: tree.run(workload, scale) for tree in turns})
        print(f"{workload}: round {at + 1} of {rounds}", file=sys.stderr, flush=True)
    known = seen[0][theirs.path]
    return [
        Pair(
            workload,
            name,
            figure.unit,
            [one[theirs.path][name].value for one in seen],
            [one[ours.path][name].value for one in seen],
        )
        for name, figure in seen[0][ours.path].items()
        if name in known
    ]


def show(commit: str, rounds: int, pairs: Sequence[Pair]) -> None:
    """Print a row a figure."""
    table = Table(title=f"this tree beside {commit}, medians of {rounds} rounds (least-most)", title_justify="left")
    for column in ("", "figure", commit, "this tree", "ratio"):
        table.add_column(column, justify="left" if column in ("", "figure") else "right")
    last = ""
    for pair in pairs:
        head = pair.workload if pair.workload != last else ""
        last = pair.workload
        cells = (spread(values) for values in (pair.theirs, pair.ours, pair.ratios()))
        table.add_row(head, f"{pair.name}, {pair.unit}", *cells)
    Console(width=160).print(table)


def spread(values: Sequence[float]) -> str:
    """The median, and the least and the most.

    >>> spread([1.5, 0.5, 1.0])
    '1 (0.50-1.50)'
    """
    if not values:
        return ""
    return f"{number(median(values))} ({number(min(values))}-{number(max(values))})"


@contextmanager
def _other(commit: str) -> Iterator[Tree]:
    """A worktree of the commit. Raises BenchFailed when there is no such commit."""
    if _git("rev-parse", "--quiet", "--verify", f"{commit}^{{commit}}", check=False).returncode:
        raise BenchFailed(f"there is no commit {commit}")
    with tempfile.TemporaryDirectory(prefix="makima-bench-") as folder:
        path = Path(folder) / "tree"
        _git("worktree", "add", "--quiet", "--detach", str(path), commit)
        try:
            if not (path / "bench" / "__main__.py").exists():
                shutil.copytree(ROOT / "bench", path / "bench", dirs_exist_ok=True)
            yield Tree(path, _python(path))
        finally:
            _git("worktree", "remove", "--force", str(path))


def _python(tree: Path) -> str:
    """Ours, unless the tree is locked to other packages: then it gets an environment of its own.

    Trees from before tools/install.sh have all that they need installed by the first call of their justw.
    """
    if all((tree / lock).exists() and filecmp.cmp(ROOT / lock, tree / lock, shallow=False) for lock in LOCKS):
        return sys.executable
    print("installing what the other tree runs on, once", file=sys.stderr)
    installer = tree / "tools" / "install.sh"
    argv = (installer, "developer") if installer.exists() else (tree / "justw", "--list")
    if subprocess.run(argv, cwd=tree, stdout=sys.stderr, check=False).returncode:
        raise BenchFailed("what the other tree runs on could not be installed: see above")
    return str(tree / ".venv" / "bin" / "python")


def _git(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(("git", *arguments), cwd=ROOT, check=check, capture_output=True, text=True)
