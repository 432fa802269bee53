"""A newcomer's first hour: an installed package, an empty home, two words, a pull request, and its merge."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import agents, package, programs
from tests import github as fake
from tests.conftest import free_port, git
from tests.github import GitHub
from tests.models.messages import messages_api
from tests.models.script import Answer, Conversation, Run, Say
from tests.waiting import until

STEP = {"name": "Mend the sum", "taskPlan": "Make `python3 -m unittest` pass."}
TEST = """\
import unittest

import sums


class SumsTest(unittest.TestCase):
    def test_add(self):
        self.assertEqual(sums.add(1, 2), 3)
"""
PASS_ON = ("agents.claude.pass_environment", '["ANTHROPIC_*", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"]')


def a_planner_and_a_mender(conversation: Conversation) -> Answer:
    """Runs the failing test first, as a careful agent does; plans one step; mends, tests and commits."""
    look = [Say("I run the tests."), Run("python3 -m unittest")]
    if "You plan a piece of work" in conversation.prompt:
        plan = [Run(f"makima directive batch-add-steps --json '{json.dumps([STEP])}'")]
        return [look, plan, [Say("One step is planned.")]][min(conversation.turn, 2)]
    mend = [Run("sed -i 's/a - b/a + b/' sums.py && python3 -m unittest && git commit -qam 'Add, not subtract'")]
    return [look, mend, [Say("The test passes now.")]][min(conversation.turn, 2)]


class Newcomer:
    """Somebody with a signed-in gh, a clone, the real Claude Code and a key; makima is installed, and nothing else."""

    def __init__(self, folder: Path, hub: GitHub, makima: Path, model: str) -> None:
        self.home, self.remote, self.clone = folder / "home", folder / "shop.git", folder / "home" / "shop"
        self.home.mkdir(mode=0o700)
        self._forge(folder, hub)
        (folder / "bin").mkdir()
        for name, path in (("claude", agents.program("claude")), ("gh", programs.program("gh")), ("makima", makima)):
            (folder / "bin" / name).symlink_to(path)
        self.environment = {
            "HOME": str(self.home),
            "PATH": f"{folder / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "GIT_CONFIG_NOSYSTEM": "1",
            "MAKIMA_PORT": str(free_port()),
            "ANTHROPIC_BASE_URL": model,
            "ANTHROPIC_API_KEY": "a key of no account",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }
        self.run("git", "clone", "--quiet", hub.url, str(self.clone), folder=self.home)

    def run(self, *command: str, code: int = 0, folder: Path | None = None) -> str:
        """Run a command in the clone; all that it said."""
        done = subprocess.run(
            command,
            cwd=folder or self.clone,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def _forge(self, folder: Path, hub: GitHub) -> None:
        """A repository on the forge with a failing test, gh signed in there, and git that finds it."""
        seed = folder / "seed"
        seed.mkdir()
        git(seed, "init", "--quiet", "-b", "main")
        (seed / "sums.py").write_text("def add(a, b):\n    return a - b\n")
        (seed / "test_sums.py").write_text(TEST)
        git(seed, "add", ".")
        git(seed, "commit", "--quiet", "-m", "Add sums, and a test that fails")
        git(folder, "clone", "--quiet", "--bare", str(seed), str(self.remote))
        hub.remote = self.remote
        config = self.home / ".config" / "gh"
        config.mkdir(parents=True)
        (config / "config.yml").write_text(f"http_unix_socket: {hub.socket}\n")
        (config / "hosts.yml").write_text("github.com:\n    oauth_token: gho_nothing\n    user: ada\n")
        (self.home / ".gitconfig").write_text(f'[url "{self.remote}"]\n\tinsteadOf = {hub.url}\n')


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[GitHub]:
    folder = fake.short_folder(tmp_path)
    with fake.github(folder) as playing:
        yield playing
    shutil.rmtree(folder)


@pytest.mark.long
def test_from_the_wheel_to_a_merged_pull_request(tmp_path: Path, hub: GitHub) -> None:
    makima = package.installed(sys.executable, package.built(tmp_path), tmp_path).with_name("makima")
    with messages_api(a_planner_and_a_mender) as model:
        ada = Newcomer(tmp_path, hub, makima, model.url)
        try:
            refused = ada.run("makima", "run", "Make the failing test pass", code=1)
            assert f"makima config set {PASS_ON[0]} '[\"ANTHROPIC_API_KEY\"]'" in refused, "a key alone isn't passed on"
            ada.run("makima", "config", "set", *PASS_ON)
            assert "✔ gh            signed in" in ada.run("makima", "doctor")

            said = ada.run("makima", "run", "Make the failing test pass")
            assert "repository  acme/shop on github.com, from main" in said and "agent       claude" in said
            assert said.splitlines()[-1].endswith(f", {hub.url}/pull/1") and "pull request open" in said, said
            (pull,) = hub.pulls
            assert pull["title"] == "Make the failing test pass" and "The test passes now." in pull["body"]

            hub.end(1, "merged")
            ada.run("makima", "directive", "look", "1")
            until(lambda: "  merged\n" in ada.run("makima", "show"), lambda: ada.run("makima", "show"))
            ada.run("git", "pull", "--quiet")
            assert "OK" in ada.run("python3", "-m", "unittest")
            assert "nothing needs you" in ada.run("makima", "inbox")
        finally:
            ada.run("makima", "down")
