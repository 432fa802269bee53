"""200 step branches delivered in a repository of 50,000 files, beside the bare git commands that do the same by hand.

    python -m bench.delivery [--files 50000] [--branches 200]

Both begin with a cache that has fetched everything, and end with the branch pushed. The peak of memory is that of the
process that delivers: git's own processes are not counted, as they aren't for the daemon.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from services.daemon.delivery.checking import Outcome
from services.daemon.delivery.delivering import Delivering
from services.daemon.workspaces.workspaces import Workspaces
from shared.config import load
from shared.domain.delivery import Delivered, Delivery, StepBranch
from shared.domain.ids import new_id
from shared.messages.commands import SpawnTask

TITLE = "Bench"
IDENTITY = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")


def main() -> int:
    """Run both and print the figures."""
    parser = argparse.ArgumentParser(prog="bench.delivery")
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--branches", type=int, default=200)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="makima-bench-") as folder:
        remote = Path(folder) / "remote.git"
        _make(remote, asked.files, asked.branches)
        ours = asyncio.run(_deliver(Path(folder), remote, asked.branches))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        by_hand = _by_hand(Path(folder), remote, asked.branches)
        same = len({_git(remote, "rev-parse", f"{b}^{{tree}}") for b in ("delivered", "by-hand")}) == 1
    print(f"{asked.branches} branches, {asked.files} files")
    print(f"delivered natively, proved and pushed  {ours:6.1f} s   peak {peak:.0f} MB")
    print(f"git merge a branch in a worktree, push {by_hand:6.1f} s   ratio {ours / by_hand:.2f}")
    print(f"the trees are {'the same' if same else 'DIFFERENT'}")
    return 0 if same else 1


async def _deliver(folder: Path, remote: Path, branches: int) -> float:
    workspaces = Workspaces(folder / "daemon")
    await workspaces.remove_orphans()
    steps = tuple(StepBranch(id=new_id(), name=f"s{n}", branch=f"makima/s{n}") for n in range(branches))
    command = SpawnTask(
        task=new_id(),
        attempt=1,
        owner="bench",
        directive=new_id(),
        kind="completion",
        name="deliver",
        repository_url=str(remote),
        target_branch="delivered",
        delivery=Delivery(action="deliver", title=TITLE, steps=steps),
    )
    await workspaces.repository(command)
    settings = load({"MAKIMA_HOME": str(folder / "home")})
    began = time.monotonic()
    result = await Delivering(command, settings, workspaces, _no_script, print).carry_out()
    assert isinstance(result, Delivered), result
    return time.monotonic() - began


async def _no_script(line: str, *_: object) -> Outcome:
    raise AssertionError(f"nothing here has a check: {line}")


def _by_hand(folder: Path, remote: Path, branches: int) -> float:
    cache, tree = folder / "by-hand.git", folder / "tree"
    _git(folder, "clone", "--quiet", "--mirror", str(remote), str(cache))
    _git(cache, "config", "remote.origin.mirror", "false")
    began = time.monotonic()
    _git(cache, "fetch", "--quiet", "origin")
    _git(cache, "worktree", "add", "--quiet", "--detach", str(tree), "main")
    for n in range(branches):
        _git(tree, "merge", "--quiet", "--no-edit", f"makima/s{n}")
    _git(tree, "push", "--quiet", "origin", "HEAD:refs/heads/by-hand")
    return time.monotonic() - began


def _make(remote: Path, files: int, branches: int) -> None:
    subprocess.run(("git", "init", "--quiet", "--bare", "-b", "main", str(remote)), check=True)
    stream = "".join(_stream(files, branches)).encode()
    subprocess.run(("git", "fast-import", "--quiet"), cwd=remote, input=stream, check=True)


def _stream(files: int, branches: int) -> Iterator[str]:
    """A fast-import stream: one commit of all files, and a branch a step that changes one and adds one."""
    who = "committer b <b@b> 1700000000 +0000\n"
    yield f"commit refs/heads/main\nmark :1\n{who}data 5\nstart\n"
    for n in range(files):
        text = f"file {n}\n" * 5
        yield f"M 100644 inline d{n // 1000}/e{n // 50 % 20}/f{n}.txt\ndata {len(text)}\n{text}\n"
    for n in range(branches):
        at = n * (files // branches)
        yield f"commit refs/heads/makima/s{n}\n{who}data 4\nstep\nfrom :1\n"
        for name in (f"d{at // 1000}/e{at // 50 % 20}/f{at}.txt", f"new/{n}.txt"):
            text = f"changed by {n}\n"
            yield f"M 100644 inline {name}\ndata {len(text)}\n{text}\n"


def _git(folder: Path, *arguments: str) -> str:
    argv = ("git", *IDENTITY, "-c", "gc.auto=0", *arguments)
    return subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
