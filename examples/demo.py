"""`just demo`: a sample repository, a cluster of its own, a goal that an agent plans, a plan from a file, live."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXAMPLES = Path(__file__).parent
OWN = ("user.name=Demo", "user.email=demo@localhost", "commit.gpgSign=false", "core.hooksPath=/dev/null")
"""Of git's configuration: whoever runs the demo may sign, have hooks, or be nobody."""
BOLD, DIM, PLAIN = ("\x1b[1m", "\x1b[90m", "\x1b[0m") if sys.stdout.isatty() else ("", "", "")


def main() -> int:
    """Run the demo; its exit code. Whatever it started is stopped at the end."""
    took: dict[str, float] = {}
    print(f"{BOLD}makima{PLAIN}: a goal on a git repository becomes a merged branch")
    with tempfile.TemporaryDirectory(prefix="makima-demo-", ignore_cleanup_errors=True) as folder:
        os.environ.pop("MAKIMA_CONTEXT", None)
        os.environ.update(MAKIMA_HOME=f"{folder}/home", MAKIMA_PORT=str(_free_port()))
        origin = _sample_repository(Path(folder))
        try:
            _title("A cluster of its own: every part a process, and Postgres brought along")
            with _timed(took, "start the cluster"):
                _makima("up", "--detach", "--daemons", "2")
            _makima("status")
            _title("A goal: an agent plans it, eight steps carry it out, in parallel where they can")
            with _timed(took, "the goal, planned and carried out"):
                planned = _create("Build a greeter", origin, "--goal", f"@{EXAMPLES / 'goal.md'}")
                _makima("directive", "watch", planned, "--timeout", "60")
            _title("The graph that the agent planned")
            _makima("directive", "graph", planned)
            _title("The same without a planner: a plan from a file")
            with _timed(took, "the plan from a file"):
                from_file = _create("Build a page", origin, "--plan", str(EXAMPLES / "plan.yaml"))
                _makima("directive", "watch", from_file, "--timeout", "60")
            for directive in (planned, from_file):
                _show_delivery(origin, directive)
        finally:
            with _timed(took, "stop the cluster"):
                _makima("down")
    _title("How long it took")
    print("\n".join(f"  {what:<36}{seconds:6.2f} s" for what, seconds in took.items()))
    print(f'\nNothing of it is left running. In a repository of yours: {BOLD}makima run "what you want"{PLAIN}')
    return 0


def _title(text: str) -> None:
    print(f"\n{BOLD}── {text}{PLAIN}", flush=True)


def _makima(*arguments: str) -> None:
    """Run one command on this terminal; a failure ends the demo."""
    sys.stdout.flush()
    code = subprocess.run([sys.executable, "-m", "cli", *arguments], check=False).returncode
    if code:
        raise SystemExit(f"makima {' '.join(arguments[:2])} ended with exit code {code}")


def _json(*arguments: str) -> dict[str, str]:
    argv = [sys.executable, "-m", "cli", *arguments, "-o", "json"]
    done = subprocess.run(argv, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"makima {' '.join(arguments[:2])} ended with exit code {done.returncode}")
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


def _create(title: str, origin: Path, *arguments: str) -> str:
    shown = "--goal @goal.md" if "--goal" in arguments else "--plan plan.yaml"
    print(f"{DIM}$ makima directive create --title '{title}' --repo . {shown} --watch{PLAIN}", flush=True)
    return _json("directive", "create", "--title", title, "--repo", str(origin), "--start", *arguments)["id"]


def _show_delivery(origin: Path, directive: str) -> None:
    branch = _json("directive", "show", directive)["pr_branch"]
    _title(f"Delivered: {branch}")
    print(_git(origin, "log", "--graph", "--oneline", "--no-decorate", branch), end="")
    files = "  ".join(_git(origin, "ls-tree", "-r", "--name-only", branch).split())
    print(f"{DIM}{textwrap.fill(files, 96)}{PLAIN}")


def _sample_repository(folder: Path) -> Path:
    origin, work = folder / "origin.git", folder / "work"
    _git(folder, "init", "--quiet", "--bare", "-b", "main", str(origin))
    _git(folder, "clone", "--quiet", str(origin), str(work))
    for number, (name, text) in enumerate({"README.md": "# Sample\n", "LICENSE": "Free to use.\n"}.items(), 1):
        (work / name).write_text(text)
        _git(work, "add", name)
        _git(work, "commit", "--quiet", "-m", f"History, part {number}")
    _git(work, "push", "--quiet", "origin", "HEAD:main")
    return origin


def _git(folder: Path, *arguments: str) -> str:
    argv = ["git", *(part for setting in OWN for part in ("-c", setting)), *arguments]
    return subprocess.run(
        argv, cwd=folder, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ).stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _timed(took: dict[str, float], what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    took[what] = time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
