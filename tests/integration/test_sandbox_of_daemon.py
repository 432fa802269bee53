"""A real daemon and its sandbox: which it takes on which machine, what it says of that, and what a task has in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.messages.reports import OutputBatch, TaskFailed, TaskSucceeded
from tests.daemon_harness import ROOT, DaemonHarness, sh
from tests.waiting import until

WITHOUT_NAMESPACES = (
    *("unshare", "--user", "--map-root-user", "sh", "-c"),
    'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"',
    "sh",
)
WITHOUT_LANDLOCK = (sys.executable, str(ROOT / "tests" / "bare_kernel.py"))


class Made:
    """Houses of a test, which end with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.houses: list[DaemonHarness] = []

    def __call__(self, wrapper: tuple[str, ...] = (), **settings: str) -> DaemonHarness:
        self.houses.append(DaemonHarness(self._folder, wrapper, **settings))
        return self.houses[-1]


@pytest.fixture
def house_of(tmp_path: Path) -> Iterator[Made]:
    made = Made(tmp_path)
    yield made
    for house in made.houses:
        house.close()


def lines(house: DaemonHarness, script: str, **more: object) -> list[str]:
    """What a step prints that succeeds."""
    command = house.spawn(script, **more)
    house.send(command)
    end = house.ending(command.task)
    assert isinstance(end, TaskSucceeded), end
    return [line for r in house.seen if isinstance(r, OutputBatch) and r.task == command.task for line in r.lines]


SEES_ITSELF_ALONE = "echo /proc/[0-9]* | wc -w"
"""Few, in a process namespace of its own."""


def test_it_takes_bubblewrap_where_it_can(house_of: Made) -> None:
    assert int(lines(house_of(), SEES_ITSELF_ALONE)[-1]) < 8


def test_where_user_namespaces_are_forbidden_it_takes_landlock(house_of: Made, tmp_path: Path) -> None:
    house = house_of(WITHOUT_NAMESPACES)
    said = lines(house, f"{SEES_ITSELF_ALONE}; cat {tmp_path}/h/daemons/d1/journal || echo refused")
    assert int(said[0]) > 8 and said[-1] == "refused"


@pytest.mark.parametrize("kind", ["bubblewrap", "landlock"])
def test_its_git_and_its_makima_work_there(house_of: Made, kind: str) -> None:
    house = house_of(MAKIMA_SANDBOX=kind)
    script = (
        "echo x >x; git add x; git commit -qm mine; git stash list; makima --help >/dev/null; git log -1 --format=%s"
    )
    command = house.spawn(script)
    assert lines(house, command.task_plan, task=command.task)[-1] == "mine"
    assert sh(house.remote, "git", "log", "-1", "--format=%s", command.branch) == "mine"


def test_where_there_is_none_every_task_says_so_and_runs(house_of: Made) -> None:
    said = lines(house_of((*WITHOUT_LANDLOCK, *WITHOUT_NAMESPACES)), "echo works")
    assert said[0].startswith("[no sandbox: ") and "user namespaces" in said[0] and said[-1] == "works"


def test_one_that_is_asked_for_and_cannot_be_had_stops_the_task_in_words(house_of: Made, tmp_path: Path) -> None:
    house = house_of(WITHOUT_NAMESPACES, MAKIMA_SANDBOX="bubblewrap")
    command = house.spawn(f"touch {tmp_path}/ran")
    house.send(command)
    end = house.ending(command.task)
    assert isinstance(end, TaskFailed) and end.permanent, end
    assert 'sandbox = "bubblewrap" can\'t be had' in end.reason and "user namespaces" in end.reason
    assert not (tmp_path / "ran").exists()


def test_doctor_and_up_say_that_there_is_none(tmp_path: Path) -> None:
    environment = {**os.environ, "MAKIMA_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    argv = (*WITHOUT_LANDLOCK, *WITHOUT_NAMESPACES, sys.executable, "-m", "cli", "doctor")
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert "! sandbox" in done.stdout and "agents can read and change whatever this account can" in done.stdout
    assert "allow user namespaces to this account" in done.stdout
    taken = {**environment, "MAKIMA_POSTGRES_URL": "postgresql://nowhere.invalid/x"}
    up = subprocess.run((*argv[:-1], "up"), env=taken, capture_output=True, text=True, check=False, timeout=100)
    assert "! no sandbox: " in up.stderr


def test_a_step_fetches_from_a_remote_that_is_a_folder_and_changes_nothing_there(house_of: Made) -> None:
    house = house_of(MAKIMA_SANDBOX_WRITABLE="")
    before = sh(house.remote, "git", "for-each-ref")
    pushes = "git commit -q --allow-empty -m evil; git push -q origin HEAD:refs/heads/main HEAD:refs/heads/evil"
    assert lines(house, f"git fetch -q origin main && git rev-parse FETCH_HEAD; {pushes}; git reset -q --hard HEAD~")[0]
    assert sh(house.remote, "git", "for-each-ref", "refs/heads/main", "refs/heads/evil") == before


def test_a_cache_is_shared_where_the_settings_name_it(house_of: Made) -> None:
    house = house_of(MAKIMA_SHARED_CACHES="npm,pip")
    lines(house, "echo of the first >$npm_config_cache/x; test -d $PIP_CACHE_DIR")
    assert lines(house, "cat $npm_config_cache/x") == ["of the first"]


def test_a_switch_between_versions_of_a_toolchain_finds_what_lies_in_the_accounts_home(
    house_of: Made, tmp_path: Path
) -> None:
    (tmp_path / ".rustup").mkdir()
    (tmp_path / ".rustup" / "settings.toml").write_text("stable")
    assert lines(house_of(MAKIMA_SANDBOX_WRITABLE=""), "cat $RUSTUP_HOME/settings.toml") == ["stable"]


def test_a_program_on_the_path_shows_nothing_else_of_the_accounts_home(house_of: Made, tmp_path: Path) -> None:
    for folder in ("bin", "lib", "share/keyrings"):
        (tmp_path / ".local" / folder).mkdir(parents=True)
    (tmp_path / ".local" / "share" / "keyrings" / "login").write_text("a secret")
    (tmp_path / ".local" / "bin" / "mine").write_text("#!/bin/sh\necho runs\n")
    (tmp_path / ".local" / "bin" / "mine").chmod(0o755)
    path = f"{os.environ['PATH']}:{tmp_path}/.local/bin"
    house = house_of(MAKIMA_SANDBOX_WRITABLE="", PATH=path)
    assert lines(house, f"mine; cat {tmp_path}/.local/share/keyrings/login || echo refused")[::2] == ["runs", "refused"]


def test_it_has_a_home_of_its_own_which_goes_with_the_attempt(house_of: Made, tmp_path: Path) -> None:
    house = house_of(MAKIMA_SANDBOX_WRITABLE="")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519").write_text("a private key")
    home, listed = lines(house, f"echo $HOME; ls -A ~ {tmp_path} 2>/dev/null | tr '\\n' ' '; touch ~/x /tmp/y")
    assert Path(home).is_relative_to(house.settings.home) and ".ssh" not in listed
    until(lambda: not Path(home).exists(), "its home goes")
    assert not Path("/tmp/y").exists()
