"""People sign in at a real OpenID provider: a real gateway and command line, and a browser that fills in forms."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cluster, free_port
from tests.documents import told
from tests.postgres import home
from tests.provider import real_provider
from tests.provider.browser import Browser

SECRET = "of a test: +/ %"
"""With what has to be quoted on its way to the provider."""
PEOPLE = {
    "ada": {"email": "ada@example.com", "email_verified": True},
    "bob": {"email": "bob@example.com", "email_verified": True},
    "eve": {"email": "ada@example.com", "email_verified": False},
    "mallory": {"email": "ada@example.com", "email_verified": True},
}
"""Of the provider: Eve calls herself Ada, and Mallory has the address that was Ada's."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster at which people sign in, and their provider."""
    secret = tmp_path_factory.mktemp("secret") / "client"
    secret.write_text(f"{SECRET}\n")
    with home() as folder:
        issuer_port = free_port()
        running = Cluster(folder, sweep_seconds="3600", config=str(folder.parent / "makima.toml"))
        stands_for = {
            "~/makima-oidc-secret": str(secret),
            "https://makima.example.com": address(running),
            "https://accounts.example.com": f"http://127.0.0.1:{issuer_port}",
            "alice@example.com": "ada@example.com",
            "makima ": f"{sys.executable} -m cli ",
        }
        setting, _, adding, *_ = told(ROOT / "docs/guides/sign-in.md")
        with real_provider(issuer_port, PEOPLE, f"{address(running)}/signin/callback", SECRET):
            type_in(running, setting, stands_for)
            running.makima("up", "--detach", "--daemons", "0")
            running.makima("owner", "create", "shop")
            type_in(running, adding, stands_for)
            yield running
            running.makima("down")


def type_in(cluster: Cluster, commands: list[str], stands_for: dict[str, str]) -> None:
    """Type the commands of a guide, with values in the place of what stands for them."""
    for command in commands:
        for stands, value in stands_for.items():
            command = command.replace(stands, value)
        done = subprocess.run(
            ["sh", "-c", command], env=cluster.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def address(cluster: Cluster) -> str:
    return f"http://127.0.0.1:{cluster.environment['MAKIMA_PORT']}"


class Laptop:
    """The account of a person on their own machine: an empty home, and a browser in which they sign in."""

    def __init__(self, folder: Path, person: str) -> None:
        self.person = person
        browser = shlex.join([sys.executable, "-m", "tests.provider.browser", person])
        self.environment = {
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
            "BROWSER": f"{browser} %s",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "cli", *words]
        return subprocess.run(
            argv, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    def refused(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr.splitlines()[-1]


def test_a_member_signs_in_by_a_browser_and_may_do_what_their_role_may(cluster: Cluster, tmp_path: Path) -> None:
    laptop = Laptop(tmp_path, "ada")
    done = laptop.run("login", address(cluster), "--browser")
    assert done.returncode == 0, done.stderr
    assert "ada@example.com" in done.stdout and "operator" in done.stdout
    assert f"{address(cluster)}/signin?challenge=" in done.stderr
    made = laptop.run("directive", "create", "--title", "Ada's", "--goal", "Begin")
    assert made.returncode == 0, made.stderr
    assert "Ada's" in laptop.run("list").stdout
    assert "takes the role admin" in laptop.refused("daemon", "keys")
    tokens = cluster.makima("token", "list")
    assert "ada@example.com" in tokens and "login on" in tokens


def test_a_person_without_a_browser_pastes_the_code_that_another_one_shows(cluster: Cluster, tmp_path: Path) -> None:
    laptop = Laptop(tmp_path, "ada")
    argv = [sys.executable, "-m", "cli", "login", address(cluster), "--no-browser"]
    with subprocess.Popen(
        argv, env=laptop.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as login:
        assert login.stderr is not None
        said = [next(login.stderr) for _ in range(3)]
        door, mark = said[2].strip(), said[0].split()[-1].rstrip(":\n")
        with Browser() as browser:
            browser.open(door).sign_in("ada")
            assert mark in browser.text
            code = browser.submit().text.rpartition(" ")[2]
        out, error = login.communicate(f"{code}\n", timeout=60)
    assert login.returncode == 0, error
    assert "ada@example.com" in out
    assert laptop.run("list").returncode == 0


@pytest.mark.parametrize(
    ("person", "says"),
    [
        ("bob", "bob@example.com is no member of any owner here; an admin adds you: makima member add bob@example.com"),
        ("eve", "hasn't verified the address ada@example.com"),
        ("mallory", "ada@example.com is the name of another account here"),
    ],
)
def test_who_is_no_member_or_calls_themselves_one_is_told_so_in_a_line(
    cluster: Cluster, tmp_path: Path, person: str, says: str
) -> None:
    (tmp_path / "ada").mkdir()
    Laptop(tmp_path / "ada", "ada").run("login", address(cluster), "--browser")  # whose the name is from now on
    assert says in Laptop(tmp_path, person).refused("login", address(cluster), "--browser")
    assert not (tmp_path / ".config").exists()


def test_a_member_of_several_owners_says_to_which_they_sign_in(cluster: Cluster, tmp_path: Path) -> None:
    cluster.makima("member", "add", "ada@example.com", "--role", "viewer", "--owner", "shop")
    laptop = Laptop(tmp_path, "ada")
    done = laptop.run("login", address(cluster), "--browser", "--owner", "shop")
    assert done.returncode == 0 and "viewer" in done.stdout and "shop" in done.stdout, done.stdout + done.stderr
    assert "you are no member of an owner other" in laptop.refused(
        "login", address(cluster), "--browser", "--owner", "other"
    )
