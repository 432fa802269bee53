"""Somebody who has a home, a repository, and nothing of makima's that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.agents import program
from tests.conftest import ROOT, free_port, git
from tests.models.script import Answer, Conversation, Edit, Run, Say


class Account:
    """Somebody with a home, a repository, and nothing of makima's that runs."""

    program: tuple[str, ...] = (sys.executable, "-P", "-m", "cli")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)
        self.repository = folder / "site"
        self.repository.mkdir()
        git(self.repository, "init", "-q", "-b", "main")
        self.commit("README.md", "# A site\n")
        self.environment = {
            "HOME": str(self.home),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "MAKIMA_PORT": str(free_port()),
            "MAKIMA_SWEEP_SECONDS": "3600",
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def commit(self, name: str, text: str, folder: Path | None = None) -> None:
        folder = folder or self.repository
        (folder / name).write_text(text)
        git(folder, "add", name)
        git(folder, "commit", "-qm", f"Write {name}")

    def run(
        self, *arguments: str, code: int = 0, folder: Path | None = None, told: str | None = None, **more: str
    ) -> str:
        """Run makima in a folder; its standard output, or its errors where `code` isn't 0."""
        done = subprocess.run(
            [*self.program, *arguments],
            cwd=folder or self.repository,
            env={**self.environment, **more},
            input=told,
            stdin=subprocess.DEVNULL if told is None else None,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def shown(self, directive: str) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.run("directive", "show", directive, "-o", "json"))
        return shown

    def begun(self, *arguments: str, **more: Any) -> dict[str, Any]:
        """A directive that was started without being followed."""
        made: dict[str, Any] = json.loads(self.run("run", *arguments, "--detach", "-o", "json", **more))
        return made


def claude_for(account: Account, url: str) -> dict[str, str]:
    """The environment of somebody who has the real Claude Code on PATH, and a key for a model on this machine."""
    binaries = account.folder / "bin"
    binaries.mkdir(exist_ok=True)
    if not (binaries / "claude").exists():
        (binaries / "claude").symlink_to(program("claude"))
    settings = account.home / ".config" / "makima" / "makima.toml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(
        f'[agents.claude.environment]\nANTHROPIC_BASE_URL = "{url}"\nANTHROPIC_API_KEY = "a key of no account"\n'
        'CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC = "1"\n'
    )
    return {"PATH": f"{binaries}:{account.environment['PATH']}"}


def a_planner_and_a_worker(conversation: Conversation) -> Answer:
    if "You plan a piece of work" in conversation.prompt:
        steps = json.dumps([{"name": "Write the page", "taskPlan": "Write page.txt"}])
        plan = [Run(f"makima directive batch-add-steps --json '{steps}'")]
        return [plan, [Say("One step is planned.")]][min(conversation.turn, 1)]
    return [[Edit("page.txt", "a page\n")], [Say("The page is written.")]][min(conversation.turn, 1)]
