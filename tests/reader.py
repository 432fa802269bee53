"""Somebody who has installed the package, has some work under way, and types what they read."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.account import Account
from tests.conftest import ROOT, free_port
from tests.waiting import until


class Reader(Account):
    """Somebody with an empty home, who makes a cluster and some work on it by `begin`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        programs = _installed(folder / "package")
        self.program = (str(programs / "makima"),)
        self.other_port = str(free_port())
        del self.environment["PYTHONPATH"]
        self.environment |= {
            "PATH": f"{programs}:{self.environment['PATH']}",
            "MAKIMA_SANDBOX_READABLE": sysconfig.get_path("purelib"),
        }
        (self.home / ".curlrc").write_text("fail-with-body\nsilent\n")
        shutil.copytree(ROOT / "examples", self.repository / "examples")
        for name in ("plan.yaml", "goal.md"):
            shutil.copy(ROOT / "examples" / name, self.repository)
        self.commit("plan.json", json.dumps([{"name": "Test", "task_plan": "true"}]))

    def begin(self) -> None:
        """Start the cluster, with work that is delivered (1), asks (2), is a draft (3), failed (4) and waits (5)."""
        self.run("up", "--detach")
        self.create("Delivered", "--plan", "plan.yaml", "--watch")
        self.create("Asks", "--plan", self._plan("makima ask 'Shall I?' --option yes"), "--start")
        self.create("Draft", "--plan", "plan.yaml")
        self.create("Failed", "--plan", self._plan("false"), "--on-failure", "pause", "--start")
        self.create("Waits", "--goal", "@goal.md", "--approve-plan", "--start")
        self.run("order", "add", "Fix the typo")
        for waits in ("answer 2/1", "retry-step 4/1", "approve 5"):
            self._await_in_inbox(waits)

    def create(self, title: str, *options: str) -> None:
        """Create a directive on the repository."""
        self.run("directive", "create", "--title", title, "--repo", ".", *options)

    def runs(self) -> bool:
        """Whether the cluster runs."""
        return (self.home / ".local/state/makima/run/cluster.json").exists()

    def type(self, script: str) -> None:
        """Run a script to its end, which has to be a good one."""
        typed = self._shell(script)
        said, _ = typed.communicate(timeout=120)
        assert typed.returncode == 0, f"{script}\n{said}"

    def follow(self, command: str, words: str) -> None:
        """Run what doesn't end by itself until these words are seen, and press Ctrl-C."""
        running, said = self._shell(command), ""
        assert running.stdout is not None
        for line in running.stdout:
            said += line
            if words in line:
                break
        else:
            raise AssertionError(f"{command} ended: {said}")
        os.killpg(running.pid, signal.SIGINT)
        said += running.communicate(timeout=30)[0]
        assert running.returncode in (0, 130), said

    def _plan(self, script: str) -> str:
        plan = self.folder / "typed.json"
        plan.write_text(json.dumps([{"name": "Type", "task_plan": script}]))
        return str(plan)

    def _await_in_inbox(self, words: str) -> None:
        until(lambda: words in self.run("inbox"), lambda: f"{words}: {self.run('inbox')}", 60)

    def _shell(self, script: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script], cwd=self.repository, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def _installed(folder: Path) -> Path:
    """The programs of a new environment with the package, built from this checkout; what it needs is borrowed."""
    wheels, python = folder.parent / "wheels", folder / "bin" / "python"
    for argv in (
        ("hatchling", "build", "-t", "wheel", "-d", str(wheels)),
        ("venv", "--without-pip", str(folder)),
        ("pip", "--python", str(python), "install", "--no-index", "--no-deps", "-f", str(wheels), "makima"),
    ):
        subprocess.run([sys.executable, "-m", *argv], cwd=ROOT, check=True, capture_output=True)
    (site,) = folder.glob("lib/*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"
