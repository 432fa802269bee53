"""`just demo`: a sample repository, a cluster of its own, a planned directive and one from a file, shown live."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).parent
IDENTITY = ("-c", "user.name=Demo", "-c", "user.email=demo@localhost")


def main() -> int:
    """Run the demo; its exit code. Whatever it started is stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="makima-demo-") as folder:
        os.environ.update(MAKIMA_HOME=f"{folder}/home", MAKIMA_PORT=str(_free_port()))
        origin = _sample_repository(Path(folder))
        took = {"start": _timed(lambda: _makima("up", "--detach", "--daemons", "2"))}
        try:
            _show_processes()
            planned = _directive("Build a greeter", origin, "--goal", (EXAMPLES / "goal.md").read_text())
            took["planned directive"] = _timed(lambda: _makima("directive", "watch", planned, "--timeout", "60"))
            from_file = _directive("Build a page", origin, "--plan", str(EXAMPLES / "plan.yaml"))
            took["directive with a plan"] = _timed(lambda: _makima("directive", "watch", from_file, "--timeout", "60"))
            for directive in (planned, from_file):
                _show_delivery(origin, directive)
        finally:
            took["stop"] = _timed(lambda: _makima("down"))
    print("\n" + "\n".join(f"{what:<24}{seconds:6.2f} s" for what, seconds in took.items()))
    return 0


def _makima(*arguments: str) -> str:
    """Run one command, its output shown as it comes; a failure ends the demo."""
    process = subprocess.Popen([sys.executable, "-m", "cli", *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        if "-o" not in arguments:
            print(line, end="", flush=True)
        printed += line
    if process.wait():
        raise SystemExit(f"makima {' '.join(arguments[:2])} ended with exit code {process.returncode}")
    return printed


def _directive(title: str, origin: Path, *arguments: str) -> str:
    print(f"\n== {title}")
    create = ("directive", "create", "--title", title, "--repo", str(origin), "--start", *arguments, "-o", "json")
    made: str = json.loads(_makima(*create))["id"]
    return made


def _show_delivery(origin: Path, directive: str) -> None:
    branch = json.loads(_makima("directive", "show", directive, "-o", "json"))["pr_branch"]
    print(f"\n== {branch}")
    print(_git(origin, "log", "--graph", "--oneline", branch))
    print(_git(origin, "ls-tree", "-r", "--name-only", branch))


def _show_processes() -> None:
    print(_makima("status", "-o", "text"), end="")


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
    argv = ["git", *IDENTITY, *arguments]
    return subprocess.run(
        argv, cwd=folder, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ).stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _timed(action: object) -> float:
    began = time.monotonic()
    assert callable(action)
    action()
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
